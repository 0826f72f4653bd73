"""How fast the students are beside networks of other packages.

Needs the students' files, structures of the labelled splits, and a registry of packages. Makes results/peers/:
peers.json, the table peers.md for people, and peers.csv for other programs.

`snakemake peers` is never part of `all`: it installs the packages that envs/peers/ pins, each into a folder of its own.
A peer that cannot be installed is named with the reason; `snakemake peers --forcerun peer_packages` tries again.
"""

PEERS = config["peers"]["packages"]
PEER_RUNTIMES = dict.fromkeys(MODEL_RUNTIMES, "model.safetensors") | {
    runtime: file
    for runtime, file in RUNTIMES.items()
    if runtime not in ("onnx_fp16", "onnx_int8") and not any(file in missing for missing in NOT_EXPORTED.values())
}


rule peer_packages:
    """Install what a peer needs beyond the environment."""
    input:
        lambda wildcards: shipped(f"envs/peers/{wildcards.package}.txt"),
    output:
        directory("results/peers/packages/{package}"),
    log:
        "logs/peer_packages/{package}.log",
    benchmark:
        "benchmarks/peer_packages/{package}.tsv"
    wildcard_constraints:
        package="|".join(PEERS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=1000, minutes=60),
    params:
        code=code_of("peer_packages"),
    script:
        "../scripts/peer_packages.py"


rule peers:
    """Time every runtime in single precision beside every peer, in turns, and peers in the engine beside themselves."""
    input:
        models=of_each_student("results/{variant}/{file}", file=PEER_RUNTIMES.values()),
        cards=CARDS,
        packages=expand("results/peers/packages/{package}", package=PEERS),
        splits=split_files,
        parts=PARTS_OF_RUNS,
    output:
        json="results/peers/peers.json",
        table="results/peers/peers.csv",
        page="results/peers/peers.md",
    log:
        "logs/peers/all.log",
    benchmark:
        "benchmarks/peers/all.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=15000, minutes=60, device_percent=100),
    params:
        code=code_of("peers"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        variants=list(NETWORKS),
        runtimes=PEER_RUNTIMES,
        packages=PEERS,
        settings=config["benchmark"] | config["peers"]["settings"],
        targets=config["peers"]["targets"],
        device=DEVICE,
    script:
        "../scripts/peers.py"
