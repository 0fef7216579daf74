"""Builds the CPU kernels in csrc/ into one shared library, and packs small trained networks.

Everything else is in pyproject.toml.

The library has a plain C interface and needs neither Python's nor torch's headers, so one
wheel for a platform serves every version of both. Without a compiler (GCC or Clang) the
install goes on without it, and the scans run in PyTorch.
"""

import csv
import os
import shutil
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

LIBRARY = "framecast.ops._native"
COMMON = ["csrc/framecast.cpp", "csrc/parallel.cpp"]
FOR_EACH_SET = "csrc/kernels.cpp"
HEADERS = [
    f"csrc/{name}.hpp"
    for name in (
        "blocks",
        "cell",
        "complex",
        "kernels",
        "norm",
        "parallel",
        "scans",
        "simd",
        "wrap",
    )
]
# No -ffast-math: NaN and infinity must go through. The two flags here only free the compiler
# from errno and from floating-point traps, contraction allows fused multiply-adds.
FLAGS = [
    *("-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-Wno-psabi"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]
INSTRUCTION_SETS = {"baseline": [], "avx2": ["-mavx2", "-mfma"], "avx512": AVX512}


class BuildLibrary(build_ext):
    """Compiles the kernels once for each instruction set and links all into one library."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; a failure is left to the caller, for which `ext` is optional."""
        x86 = "x86_64" in sysconfig.get_platform()
        macros: list[tuple[str, str | None]] = [("FRAMECAST_X86", None)] if x86 else []
        objects = self._compile(COMMON, "common", macros, [])
        for name, flags in INSTRUCTION_SETS.items():
            if x86 or not flags:
                objects += self._compile([FOR_EACH_SET], name, [("FRAMECAST_SET", name)], flags)
        path = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.compiler.link_shared_object(objects, path, target_lang="c++", libraries=["pthread"])

    def _compile(
        self,
        sources: list[str],
        folder: str,
        macros: list[tuple[str, str | None]],
        flags: list[str],
    ) -> list[str]:
        output = os.path.join(self.build_temp, folder)
        return self.compiler.compile(
            sources, output, macros, depends=HEADERS, extra_postargs=[*FLAGS, *flags]
        )

    def get_ext_filename(self, ext_name: str) -> str:
        """Name without Python's ABI in it, which the library does not depend on."""
        return os.path.join(*ext_name.split(".")) + ".so"


WEIGHTS = ("navier-stokes-small", "shallow-water", "stage-iv")
"""Results whose networks are packed: those that are small, 2.5 MB together."""


class WithWeights(build_py):
    """Packs trained networks into wheels, where the results are to hand: one seed of each."""

    def run(self) -> None:
        """Copy the sources, then the networks."""
        super().run()
        if self.editable_mode:
            return
        results = Path(__file__).parent / "results"
        for name in filter(lambda name: (results / name).is_dir(), WEIGHTS):
            target = Path(self.build_lib) / "framecast" / "weights" / name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(results / name / "metrics.json", target)
            for run in sorted(path for path in (results / name).iterdir() if path.is_dir()):
                seeds = [path.parent for path in run.glob("**/best.safetensors")]
                best = min(seeds, key=_validation_loss) if len(seeds) > 1 else seeds[0]
                shutil.copytree(best, target / best.relative_to(results / name), dirs_exist_ok=True)


def _validation_loss(run: Path) -> float:
    """The lowest one of a run."""
    with (run / "log.csv").open(newline="") as log:
        return min(float(row["val_loss"]) for row in csv.DictReader(log))


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """py3-none-PLATFORM."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(LIBRARY, [*COMMON, FOR_EACH_SET], depends=HEADERS, language="c++", optional=True)
    ],
    cmdclass={
        "build_ext": BuildLibrary,
        "build_py": WithWeights,
        "bdist_wheel": PlatformWheel,
    },
)
