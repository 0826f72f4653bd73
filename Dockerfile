# Assay on a CPU:
#   docker build -t assay .
#   docker run --rm -v "$PWD/results:/assay/results" assay
FROM python:3.11-slim-bookworm

# A compiler for torch-cluster while building, and for compiled models (AOTInductor) while running.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgomp1 make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 assay && install -d -o assay -g assay /assay
USER 1000
WORKDIR /assay

# The environment is a layer of its own, so that a change of code does not install it again. The extra index has torch
# without CUDA, a tenth of the size.
ENV ENV=cpu PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY --chown=assay Makefile ./
COPY --chown=assay envs envs
RUN make env && rm -rf ~/.cache/assay

COPY --chown=assay . .
ENV PATH=/assay/.venv/bin:$PATH
CMD ["make", "run"]
