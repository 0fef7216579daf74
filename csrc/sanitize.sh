#!/bin/sh
# Runs the kernels' tests with the address and undefined-behaviour sanitisers, in a copy of
# the repository, so that the library in use stays as it is.  Usage: csrc/sanitize.sh [PYTHON]
# FRAMECAST_RANDOM_CALLS, 2000 if it is not set, says how many random calls of the ops are made.
set -eu
python=${1:-python}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r csrc src tests setup.py pyproject.toml README.md LICENSE "$copy"
cd "$copy"
rm -f src/framecast/ops/_native.so
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wno-maybe-uninitialized"
CFLAGS="$flags" CXXFLAGS="$flags" LDFLAGS="$flags" "$python" setup.py -q build_ext --inplace
# Python and torch themselves are not built for it, so leaks are not looked for.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=src \
    FRAMECAST_RANDOM_CALLS="${FRAMECAST_RANDOM_CALLS:-2000}" \
    "$python" -m pytest -q -p no:cacheprovider tests/ops/test_random_calls.py \
    tests/ops/test_arguments.py tests/ops/test_native_kernels.py tests/ops/test_grid_ops.py
