#!/usr/bin/env bash
# Installs torch-cluster into the environment of PYTHON (first argument).
# It is published as source only, and must be compiled against the torch that is installed (about 8 minutes on two
# cores), so its wheel is kept in a cache keyed by Python, torch and torch-cluster. It is an accelerator only: where it
# cannot be built, this script says so and succeeds, and Assay uses its own neighbor list.
set -euo pipefail

python=$1
version=1.6.3
jobs=${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}

fall_back() {
    echo "torch-cluster is not installed: $1. Assay goes on with its own neighbor list." >&2
    exit 0
}

key=$("$python" - <<'PY'
import sys, torch
from torch.utils.cpp_extension import CUDA_HOME
device = "cuda" if torch.cuda.is_available() and CUDA_HOME else "cpu"
print(f"{sys.implementation.cache_tag}-torch{torch.__version__}-{device}")
PY
)
cache=${XDG_CACHE_HOME:-${HOME:-.}/.cache}/assay/wheels/$key
wheel=$(ls "$cache"/torch_cluster-"$version"-*.whl 2>/dev/null | head -n 1 || true)

if [ -z "$wheel" ]; then
    command -v "${CXX:-c++}" >/dev/null || fall_back "no C++ compiler was found (looked for ${CXX:-c++})"
    echo "Compiling torch-cluster $version with $jobs jobs (about 8 minutes on two cores, once) ..."
    mkdir -p "$cache"
    build=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    # torch-cluster opts out of ninja; setuptools itself compiles its extensions in parallel when asked.
    printf '[build_ext]\nparallel = %s\n' "$jobs" >"$build/parallel.cfg"
    DIST_EXTRA_CONFIG="$build/parallel.cfg" nice "$python" -m pip wheel --quiet --no-build-isolation --no-deps \
        --no-binary torch-cluster --no-cache-dir --wheel-dir "$build" "torch-cluster==$version" >"$cache/build.log" 2>&1 ||
        fall_back "its build failed, see $cache/build.log"
    mv "$build"/torch_cluster-"$version"-*.whl "$cache"/
    wheel=$(ls "$cache"/torch_cluster-"$version"-*.whl | head -n 1)
fi
"$python" -m pip install --quiet --no-deps --force-reinstall "$wheel"
"$python" -c "import torch_cluster" || fall_back "the wheel $wheel does not load"
