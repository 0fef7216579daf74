"""Lay out the sources of the site: pages as they link to each other, and a reference by package.

    python docs/assemble.py && mkdocs build --strict

The pages are those of the repository, in the same places, so that every link leads to the same file
here and there. The reference is made from the docstrings of all public names.
"""

import shutil
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site-source"
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "CITATION.cff")
FOLDERS = {
    "docs": ("*.md", "pictures/*"),
    "results": ("README.md",),
    "examples": ("**/*.md", "**/*.py", "**/*.js", "*.ipynb"),
    "benchmarks/results": ("**/*.png",),
}
"""What of each folder is shown, or linked to."""


def main() -> None:
    """Make the folder anew."""
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True)
    for name in PAGES:
        shutil.copy(ROOT / name, SITE / name)
    for folder, patterns in FOLDERS.items():
        for pattern in patterns:
            for file in (ROOT / folder).glob(pattern):
                target = SITE / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    for package, names in reference().items():
        page = SITE / "reference" / f"{package}.md"
        page.parent.mkdir(exist_ok=True)
        title = package if package == "framecast" else f"framecast.{package}"
        entries = "\n\n".join(f"::: {name}" for name in names)
        page.write_text(f"# {title}\n\n{entries}\n", encoding="utf-8")


def reference() -> dict[str, list[str]]:
    """Public names by the page that they stand on, each where it is defined, and on one page."""
    import framecast

    pages, shown = {}, {""}
    for package in (*framecast.PACKAGES, "framecast"):
        module = framecast if package == "framecast" else import_module(f"framecast.{package}")
        names = sorted(getattr(module, "__all__", ()))
        homes = dict.fromkeys(_home(getattr(module, name)) for name in names)
        pages[package] = [home for home in homes if home not in shown]
        shown.update(homes)
    return {page: names for page, names in pages.items() if names}


def _home(value: object) -> str:
    """Where a class or function is defined; an empty text for other values."""
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    return f"{module}.{name}" if module and name else ""


if __name__ == "__main__":
    main()
