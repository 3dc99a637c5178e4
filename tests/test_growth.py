"""A corpus that grows: files that are mapped and not read, folders of shards, training from both, and reports."""
import hashlib
import json
import math
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import contents

from arc_vae import data
from arc_vae.corpus import check
from arc_vae.corpus.generator import fresh_epochs, fresh_grids, make_grids
from arc_vae.corpus.writing import make_corpus, make_shards
from arc_vae.infra.files import DatasetError
from arc_vae.infra.rows import ConcatRows
from arc_vae.data import SPLITS, load_corpus
from arc_vae.corpus.check import corpus_report, describe
from arc_vae.training.settings import make_config
from arc_vae.train import small_run, take_batch


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The same 3,000 grids compressed, stored, and in shards of which the middle one is compressed."
    folder = tmp_path_factory.mktemp("made")
    shards = folder/"shards"
    shards.mkdir()
    small = make_corpus(folder/"small.npz", 3_000)
    large = make_corpus(folder/"large.npz", 3_000, compress=False)
    whole = dict(np.load(small))
    for k, save in enumerate((np.savez, np.savez_compressed, np.savez)):
        thirds = {}
        for name, array in whole.items():
            n = len(array)
            thirds[name] = array[n*k//3:n*(k + 1)//3]
        save(shards/f"{k}.npz", **thirds)
    return dict(small=small, large=large, shards=shards)


def test_the_published_grids():
    "All published results stand on these: a faster generator must not move a cell."
    digest = hashlib.sha256()
    for array in make_grids(100_000):
        digest.update(array.tobytes())
    assert digest.hexdigest() == "6fbef3dc0bf1f049b10eda4998eaf7e0e52239e4883861f882f84ae5658cdf03"


def test_the_bytes_are_those_of_numpy(made, tmp_path):
    whole = dict(np.load(made["small"]))
    np.savez_compressed(tmp_path/"c.npz", **whole)
    np.savez(tmp_path/"s.npz", **whole)
    by_numpy = contents(tmp_path)
    ours = contents(made["small"].parent)
    assert by_numpy["c.npz"] == ours[made["small"].name]
    assert by_numpy["s.npz"] == ours[made["large"].name]


def test_one_corpus_in_three_forms(made):
    small, *others = (load_corpus(path) for path in made.values())
    for other in others:
        for split in SPLITS:
            assert torch.equal(getattr(small, split), getattr(other, split)[:])
            assert (small.factors[split] == other.factors[split]).all()
        assert other.notes == ()
        of_its_own = dict(path=other.path, sha256=other.sha256)
        assert corpus_report(other) == corpus_report(small) | of_its_own
        assert describe(other).split("\n")[1:] == describe(small).split("\n")[1:]
    assert len({c.sha256 for c in (small, *others)}) == 3


def test_the_fingerprint_of_shards(made, tmp_path):
    "It changes with what is in them and with their order, not with their names."
    def copied(*names):
        folder = tmp_path/"-".join(names)
        folder.mkdir()
        for name, source in zip(names, sorted(made["shards"].iterdir())):
            (folder/name).write_bytes(source.read_bytes())
        return load_corpus(folder).sha256
    original = load_corpus(made["shards"]).sha256
    assert copied("a.npz", "b.npz", "c.npz") == original
    assert copied("b.npz", "a.npz", "c.npz") != original


def test_what_is_stored_stays_in_the_file(made):
    corpora = {name: load_corpus(path) for name, path in made.items()}
    before = contents(made["large"].parent)
    corpora["large"].train[0] = 9
    assert (load_corpus(made["large"]).train[0] != 9).any(), "a change stays in this process"
    assert contents(made["large"].parent) == before
    if sys.platform != "linux": return
    mapped = Path("/proc/self/maps").read_text()
    assert str(made["large"]) in mapped
    assert str(made["shards"]/"0.npz") in mapped
    assert str(made["shards"]/"1.npz") not in mapped, "this shard is compressed"
    assert str(made["small"]) not in mapped
    assert corpora  # until here, or nothing would be mapped


COST = """
import sys
from pathlib import Path
import torch
from arc_vae.data import load_corpus
from arc_vae.corpus.check import corpus_report

def held():
    "Memory of this process alone, in MB."
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])/1024

path, another = sys.argv[1:]
corpus_report(load_corpus(another))
before = held()
corpus = load_corpus(path)
loaded = held() - before
order = torch.randperm(len(corpus.train))
for i in range(0, len(order), 256):
    corpus.train[order[i:i + 256]].sum()
print(loaded, held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_memory(tmp_path, made):
    "Sixty megabytes of grids, of which a process holds a few after it has checked all and looked at each."
    g = np.random.default_rng(0).integers(10, size=(180_000, 16, 16), dtype=np.uint8)
    np.savez(tmp_path/"c.npz", train=g, val=g[:100], test=g[:100])
    (tmp_path/"shards").mkdir()
    for k in range(2):
        np.savez(tmp_path/"shards"/f"{k}.npz", train=g[90_000*k:90_000*(k + 1)], val=g[:100], test=g[:100])
    for path in (tmp_path/"c.npz", tmp_path/"shards"):
        done = subprocess.run([sys.executable, "-c", COST, path, made["small"]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert max(map(float, done.stdout.split())) < 24, (done.stdout, done.stderr)


def test_numbers_do_not_depend_on_the_chunk(made, tmp_path, monkeypatch):
    corpus = load_corpus(made["shards"])
    report = corpus_report(corpus)
    grids, _ = make_grids(100)
    grids[[20, 21, 55], 3, 4] = 11
    np.savez(tmp_path/"bad.npz", train=grids, val=grids[:9], test=grids[:9])
    messages = []
    for chunk in (data.CHUNK, 7, 1):
        for module in (data, check): monkeypatch.setattr(module, "CHUNK", chunk)
        assert corpus_report(corpus) == report
        with pytest.raises(DatasetError) as e:
            load_corpus(tmp_path/"bad.npz")
        messages.append(str(e.value))
    assert len(set(messages)) == 1
    assert "found 11 in grid 20, row 3, column 4 (3 such cells)" in messages[0]


def test_copies_are_counted():
    "Against a count by hand, on grids with many copies."
    eight_cells = (np.arange(256).reshape(16, 16) < 8).astype(np.uint8)
    g = np.random.default_rng(0).integers(2, size=(900, 16, 16), dtype=np.uint8)
    g = torch.from_numpy(g*eight_cells)
    corpus = data.GridCorpus("memory", "", g[:600], g[600:750], g[750:], {})
    report = corpus_report(corpus)
    distinct = {s: {x.numpy().tobytes() for x in getattr(corpus, s)} for s in SPLITS}
    for split, n in zip(SPLITS, (600, 150, 150)):
        assert report[f"duplicates_within_{split}"] == n - len(distinct[split])
    test_in_train = sum(x.numpy().tobytes() in distinct["train"] for x in corpus.test)
    assert report["test_in_train"] == test_in_train
    assert test_in_train > 50
    assert report["background_share"] == float((g == 0).double().mean())


def test_batches_and_training_are_the_same(made, tmp_path):
    "One file, mapped or not, or three: the same batches, the same weights."
    cfg = make_config("tiny")
    small = load_corpus(made["small"]).train
    shards = load_corpus(made["shards"]).train
    assert isinstance(shards, ConcatRows)
    order = torch.randperm(len(small), generator=torch.Generator().manual_seed(0))
    for step in range(math.ceil(len(small)/cfg.batch_size)):
        assert torch.equal(take_batch(small, order, 1, step, cfg), take_batch(shards, order, 1, step, cfg))
    logs = []
    for name, path in made.items():
        run = small_run(tmp_path/name, corpus=str(path), epochs=1, beta_mid_epoch=1, beta_final_epoch=1, threads=1,
                        n_train=600, n_val=50)
        log = json.loads((run/"log.jsonl").read_text())
        logs.append({k: v for k, v in log.items() if "seconds" not in k and k != "grids_per_second"})
    assert logs[0] == logs[1]
    assert logs[1] == logs[2]


def test_factors_that_some_shards_lack(made, tmp_path):
    for source in made["shards"].iterdir():
        (tmp_path/source.name).write_bytes(source.read_bytes())
    np.savez(tmp_path/"3.npz", **{s: np.load(made["small"])[s][:20] for s in SPLITS})
    corpus = load_corpus(tmp_path)
    assert corpus.factors == {}
    assert "member 'val_factors' is in 3 of 4 shards and was skipped" in corpus.notes
    assert len(corpus.train) == 2_420


def test_shards_continue_each_other(tmp_path):
    folder = make_shards(tmp_path/"s", 5_000, 2, seed=3)
    grids, _ = make_grids(5_000, seed=3)
    for k, path in enumerate(sorted(folder.iterdir())):
        shard = np.load(path)
        in_shard = np.concatenate([shard[s] for s in SPLITS])
        assert (in_shard == grids[2_500*k:2_500*(k + 1)]).all()
    with pytest.raises(DatasetError, match="already exists"):
        make_shards(folder, 5_000, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_split_larger_than_the_device(made, monkeypatch):
    "The training split stays on the host; what is small goes along."
    for name in ("large", "shards"):
        corpus = load_corpus(made[name])
        moved = corpus.to("meta")
        assert moved.train.is_meta
        assert moved.test.is_meta
        monkeypatch.setattr(data, "free_bytes", lambda device: 2_400*256*2 - 1)
        moved = corpus.to("meta")
        assert moved.train is corpus.train
        assert moved.test.is_meta
        monkeypatch.undo()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_corpus_on_a_gpu(made):
    corpus = load_corpus(made["shards"]).to("cuda")
    assert corpus.train.is_cuda
    assert torch.equal(corpus.train.cpu(), load_corpus(made["small"]).train)
    assert 0 < data.free_bytes("cuda") < math.inf


def test_fresh_grids_are_nobodys_training_data():
    first, second = (fresh_grids(4_000, 0, epoch) for epoch in range(2))
    known = {g.tobytes() for g in make_grids(4_000)[0]}
    for fresh in (first, second):
        share = np.mean([g.tobytes() in known for g in fresh])
        assert share < .02, "copies by chance, as between two parts of a corpus"
    assert (fresh_grids(2_500, 0, 1) == second[:2_500]).all()
    assert (fresh_grids(4_000, 2**40, 0) != first).any((1, 2)).mean() > .98


@pytest.mark.skipif(os.name != "posix", reason="asks who the children are")
@pytest.mark.parametrize("n, when", ((2_500, "between"), (2_500, "never"), (40_000, "in the middle")))
def test_a_drawer_that_is_gone(n, when, monkeypatch):
    "The grids come out the same, and no process is left behind."
    started = []
    real = subprocess.Popen
    def start(words, **kw):
        process = real(["false"] if when == "never" else words, **kw)
        started.append(process)
        return process
    monkeypatch.setattr(subprocess, "Popen", start)
    with closing(fresh_epochs(n, 5, 3, 6)) as source:
        for epoch, grids in source:
            assert (grids == fresh_grids(n, 5, epoch)).all()
            if when == "between":
                started[0].kill()
                started[0].wait()
            if when == "in the middle":
                started[0].stdout.read(1000)  # the pipe is left with a part of an epoch
                started[0].kill()
            if epoch == 4: break
    assert epoch == 4
    assert started[0].poll() is not None


def test_progress(made):
    for path in made.values():
        seen = []
        load_corpus(path, lambda *at, seen=seen: seen.append(at))
        files = [path] if path.is_file() else path.iterdir()
        done, total = seen[-1]
        assert seen == sorted(seen)
        assert done == total == sum(p.stat().st_size for p in files)
