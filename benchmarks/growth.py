"""What a corpus costs as it grows: making, disk, loading, memory, search for copies, an epoch of batches, a step.

    python benchmarks/growth.py                                 # 100,000 and 1 million grids, in all three forms
    python benchmarks/growth.py --n 10_000_000 --forms stored   # 10 million in one mapped file: 3 GB of disk
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FORMS = dict(
    compressed="one compressed file",
    stored="one stored file, mapped",
    shards="ten stored files, mapped",
)
COLUMNS = dict(
    make="make, s",
    disk="disk, MB",
    load="load, s",
    held="memory held, MB",
    report="copies, s",
    report_peak="copies, peak MB",
    order="order, s",
    epoch="epoch, s",
    step="a step, ms",
    after="then held, MB",
)
STEPS = ("make", "read", "report")  # each in a process of its own, so that memory starts from nothing


def held():
    "Memory that is this process's own, in MB; pages of mapped files belong to everybody, and can be let go."
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(line for line in lines if line.startswith("RssAnon"))
    return int(own.split()[1])/1024


def timed(do):
    "Wall and CPU seconds, and what came out."
    wall = time.perf_counter()
    cpu = time.process_time()
    out = do()
    return (time.perf_counter() - wall, time.process_time() - cpu), out


def make(form, n, path):
    from arc_vae.corpus.writing import make_corpus, make_shards
    from arc_vae.infra.logging import Progress
    beat = Progress(f"{n:,} grids, {form}", lambda line: print(line, file=sys.stderr, flush=True), 10)

    def write():
        if form == "shards": return make_shards(path, n, 10, progress=beat)
        return make_corpus(path, n, progress=beat, compress=form == "compressed")

    seconds, _ = timed(write)
    files = [path] if path.is_file() else path.iterdir()
    return dict(make=seconds, disk=sum(p.stat().st_size for p in files)/1e6)


def read(form, n, path):
    import torch

    from arc_vae.infra.random import rng
    from arc_vae.data import load_corpus
    torch.set_num_threads(1)
    before = held()
    load, corpus = timed(lambda: load_corpus(path))
    loaded = held() - before
    order, permutation = timed(lambda: torch.randperm(len(corpus.train), generator=rng("order", 0, 0)))

    def batches():
        for i in range(0, len(permutation), 256):
            corpus.train[permutation[i:i + 256]]

    epoch, _ = timed(batches)
    after = held() - before
    return dict(load=load, held=loaded, order=order, epoch=epoch, after=after, step=step_of_default(corpus.train))


def step_of_default(grids, steps=200):
    "Wall and CPU milliseconds of a training step of `default` on one thread, its batches from all over the corpus."
    from measure import prepare
    from arc_vae.train import train_steps
    from arc_vae.training.settings import make_config
    cfg = make_config("default", threads=1, device="cpu")
    candidate = prepare(cfg, grids[:40_000])
    training = train_steps(candidate.vae, candidate.opt, grids, 0, cfg)
    for _ in range(20): next(training)

    def go_on():
        for _ in range(steps): next(training)

    seconds, _ = timed(go_on)
    return [1000*each/steps for each in seconds]


def report(form, n, path):
    from arc_vae.data import load_corpus
    from arc_vae.corpus.check import corpus_report
    corpus = load_corpus(path)
    before = held()
    samples = [before]
    done = threading.Event()

    def watch():
        while not done.wait(.05):
            samples.append(held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, _ = timed(lambda: corpus_report(corpus))
    done.set()
    watcher.join()
    return dict(report=seconds, report_peak=max(samples) - before)


def measure(form, n, parent):
    "All steps for one form, as COLUMNS names them; the corpus is gone afterwards."
    found = {}
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        path = f"{folder}/corpus" if form == "shards" else f"{folder}/corpus.npz"
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--n", str(n), "--forms", form, "--folder", path]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found |= json.loads(done.stdout)
    return found


def in_words(value):
    "Wall (CPU) seconds, or megabytes."
    if isinstance(value, list): return f"{value[0]:.1f} ({value[1]:.1f})"
    return f"{value:,.0f}"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--n", type=int, nargs="+", default=[100_000, 1_000_000])
    ask.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    ask.add_argument("--folder",
                     help="where the corpora go, and go away from (default: the system's temporary folder)")
    ask.add_argument("--step", help=argparse.SUPPRESS)
    args = ask.parse_args()
    if args.step:
        step = globals()[args.step]
        found = step(args.forms[0], args.n[0], Path(args.folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
        print(json.dumps(found | dict(peak=peak)))
        return
    print(f"| grids | form | {' | '.join(COLUMNS.values())} |\n|{'---|'*(len(COLUMNS) + 2)}", flush=True)
    for n in args.n:
        for form, words in FORMS.items():
            if form not in args.forms: continue
            found = measure(form, n, args.folder)
            cells = [in_words(found[column]) for column in COLUMNS]
            print(f"| {n:,} | {words} | {' | '.join(cells)} |", flush=True)
    print(f"\nSeconds: wall (CPU); {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end.")


if __name__ == "__main__": main()
