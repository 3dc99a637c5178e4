"""A corpus that grows: files that are mapped and not read, folders of shards, training from both, and reports that need no second corpus beside the first."""
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
from arc_vae.atomic import fresh_epochs, fresh_grids, make_corpus, make_grids, make_shards
from arc_vae.data import SPLITS, DatasetError, Joined, corpus_report, describe, load_corpus
from arc_vae.train import make_config, small_run, take_batch


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The same 3,000 grids compressed, stored, and in shards of which the middle one is compressed."
    folder = tmp_path_factory.mktemp("made"); (folder/"shards").mkdir()
    small, large = make_corpus(folder/"small.npz", 3_000), make_corpus(folder/"large.npz", 3_000, compress=False)
    whole = dict(np.load(small))
    for k, save in enumerate((np.savez, np.savez_compressed, np.savez)):
        cut = {s: slice(n*k//3, n*(k + 1)//3) for s, n in zip(SPLITS, (2_400, 300, 300))}
        save(folder/"shards"/f"{k}.npz", **{name: array[cut[name.split("_")[0]]] for name, array in whole.items()})
    return dict(small=small, large=large, shards=folder/"shards")


def test_the_published_grids():
    "All published results stand on these: a faster generator must not move a cell."
    n, digest = 100_000, hashlib.sha256()
    for array in make_grids(n): digest.update(array.tobytes())
    assert digest.hexdigest() == "6fbef3dc0bf1f049b10eda4998eaf7e0e52239e4883861f882f84ae5658cdf03"


def test_the_bytes_are_those_of_numpy(made, tmp_path):
    whole = dict(np.load(made["small"]))
    np.savez_compressed(tmp_path/"c.npz", **whole); np.savez(tmp_path/"s.npz", **whole)
    written = contents(tmp_path)
    assert [written["c.npz"], written["s.npz"]] == [contents(made["small"].parent)[made[form].name] for form in ("small", "large")]


def test_one_corpus_in_three_forms(made):
    small, *others = (load_corpus(path) for path in made.values())
    for other in others:
        assert all(torch.equal(getattr(small, s), getattr(other, s)[:]) and (small.factors[s] == other.factors[s]).all() for s in SPLITS) and other.notes == ()
        differ = dict(path=other.path, sha256=other.sha256)
        assert corpus_report(other) == corpus_report(small) | differ and describe(other).split("\n")[1:] == describe(small).split("\n")[1:]
    assert len({c.sha256 for c in (small, *others)}) == 3


def test_the_fingerprint_of_shards(made, tmp_path):
    "It changes with what is in them and with their order, not with their names."
    def copied(*names):
        folder = tmp_path/"-".join(names); folder.mkdir()
        for name, source in zip(names, sorted(made["shards"].iterdir())): (folder/name).write_bytes(source.read_bytes())
        return load_corpus(folder).sha256
    assert copied("a.npz", "b.npz", "c.npz") == load_corpus(made["shards"]).sha256 != copied("b.npz", "a.npz", "c.npz")


def test_what_is_stored_stays_in_the_file(made):
    corpora = {name: load_corpus(path) for name, path in made.items()}
    before = contents(made["large"].parent)
    corpora["large"].train[0] = 9
    assert (load_corpus(made["large"]).train[0] != 9).any() and contents(made["large"].parent) == before, "a change stays in this process"
    if sys.platform != "linux": return
    mapped = Path("/proc/self/maps").read_text()
    assert [str(p) in mapped for p in (made["large"], made["shards"]/"0.npz", made["shards"]/"1.npz", made["small"])] == [True, True, False, False]
    assert corpora


COST = """
import sys
from pathlib import Path
import torch
from arc_vae.data import corpus_report, load_corpus
def held(): return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("RssAnon")).split()[1])/1024
corpus_report(load_corpus(sys.argv[2]))
before = held(); corpus = load_corpus(sys.argv[1]); loaded = held() - before
order = torch.randperm(len(corpus.train)); sum(int(corpus.train[order[i:i + 256]].sum()) for i in range(0, len(order), 256))
print(loaded, held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_memory(tmp_path, made):
    "Sixty megabytes of grids, of which a process holds a few after it has checked all and looked at each."
    g = np.random.default_rng(0).integers(10, size=(180_000, 16, 16), dtype=np.uint8)
    (tmp_path/"shards").mkdir(); np.savez(tmp_path/"c.npz", train=g, val=g[:100], test=g[:100])
    for k in range(2): np.savez(tmp_path/"shards"/f"{k}.npz", train=g[90_000*k:90_000*(k + 1)], val=g[:100], test=g[:100])
    for path in (tmp_path/"c.npz", tmp_path/"shards"):
        done = subprocess.run([sys.executable, "-c", COST, path, made["small"]], capture_output=True, text=True)
        assert done.returncode == 0 and max(map(float, done.stdout.split())) < 24, (done.stdout, done.stderr)


def test_numbers_do_not_depend_on_the_chunk(made, tmp_path, monkeypatch):
    corpus, (grids, _) = load_corpus(made["shards"]), make_grids(100)
    report, grids[[20, 21, 55], 3, 4] = corpus_report(corpus), 11
    np.savez(tmp_path/"bad.npz", train=grids, val=grids[:9], test=grids[:9])
    said = []
    for chunk in (data.CHUNK, 7, 1):
        monkeypatch.setattr(data, "CHUNK", chunk)
        assert corpus_report(corpus) == report
        with pytest.raises(DatasetError) as e: load_corpus(tmp_path/"bad.npz")
        said.append(str(e.value))
    assert len(set(said)) == 1 and "found 11 in grid 20, row 3, column 4 (3 such cells)" in said[0]


def test_copies_are_counted():
    "Against a count by hand, on grids with many copies."
    g = torch.from_numpy(np.random.default_rng(0).integers(2, size=(900, 16, 16), dtype=np.uint8)*(np.arange(256).reshape(16, 16) < 8).astype(np.uint8))
    corpus = data.GridCorpus("memory", "", g[:600], g[600:750], g[750:], {})
    r, sets = corpus_report(corpus), {s: {x.numpy().tobytes() for x in getattr(corpus, s)} for s in SPLITS}
    assert [r[f"duplicates_within_{s}"] for s in SPLITS] == [600 - len(sets["train"]), 150 - len(sets["val"]), 150 - len(sets["test"])]
    assert r["test_in_train"] == sum(x.numpy().tobytes() in sets["train"] for x in corpus.test) > 50 and r["background_share"] == float((g == 0).double().mean())


def test_batches_and_training_are_the_same(made, tmp_path):
    "One file, mapped or not, or three: the same batches, the same weights."
    cfg = make_config("tiny")
    small, shards = load_corpus(made["small"]).train, load_corpus(made["shards"]).train
    order = torch.randperm(len(small), generator=torch.Generator().manual_seed(0))
    assert isinstance(shards, Joined) and all(torch.equal(take_batch(small, order, 1, step, cfg), take_batch(shards, order, 1, step, cfg)) for step in range(math.ceil(len(small)/cfg.batch_size)))
    logs = []
    for name, path in made.items():
        run = small_run(tmp_path/name, corpus=str(path), epochs=1, beta_mid_epoch=1, beta_final_epoch=1, threads=1, n_train=600, n_val=50)
        logs.append({k: v for k, v in json.loads((run/"log.jsonl").read_text()).items() if "seconds" not in k and k != "grids_per_second"})
    assert logs[0] == logs[1] == logs[2]


def test_factors_that_some_shards_lack(made, tmp_path):
    for source in made["shards"].iterdir(): (tmp_path/source.name).write_bytes(source.read_bytes())
    np.savez(tmp_path/"3.npz", **{s: np.load(made["small"])[s][:20] for s in SPLITS})
    corpus = load_corpus(tmp_path)
    assert corpus.factors == {} and "member 'val_factors' is in 3 of 4 shards and was skipped" in corpus.notes and len(corpus.train) == 2_420


def test_shards_continue_each_other(tmp_path):
    folder, grids = make_shards(tmp_path/"s", 5_000, 2, seed=3), make_grids(5_000, seed=3)[0]
    for k, path in enumerate(sorted(folder.iterdir())): assert (np.concatenate([np.load(path)[s] for s in SPLITS]) == grids[2_500*k:2_500*(k + 1)]).all()
    with pytest.raises(DatasetError, match="already exists"): make_shards(folder, 5_000, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_split_larger_than_the_device(made, monkeypatch):
    "The training split stays on the host; what is small goes along."
    for name in ("large", "shards"):
        corpus = load_corpus(made[name])
        assert corpus.to("meta").train.is_meta and corpus.to("meta").test.is_meta
        monkeypatch.setattr(data, "free_bytes", lambda device: 2_400*256*2 - 1)
        assert corpus.to("meta").train is corpus.train and corpus.to("meta").test.is_meta
        monkeypatch.undo()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_corpus_on_a_gpu(made):
    corpus = load_corpus(made["shards"]).to("cuda")
    assert corpus.train.is_cuda and torch.equal(corpus.train.cpu(), load_corpus(made["small"]).train) and 0 < data.free_bytes("cuda") < math.inf


def test_fresh_grids_are_nobodys_training_data():
    fresh, corpus = [fresh_grids(4_000, 0, e) for e in range(2)], make_grids(4_000)[0]
    known = {g.tobytes() for g in corpus}
    assert all(np.mean([g.tobytes() in known for g in f]) < .02 for f in fresh), "copies by chance, as between two parts of a corpus"
    assert (fresh_grids(2_500, 0, 1) == fresh[1][:2_500]).all() and (fresh_grids(4_000, 2**40, 0) != fresh[0]).any((1, 2)).mean() > .98


@pytest.mark.skipif(os.name != "posix", reason="asks who the children are")
@pytest.mark.parametrize("n, when", ((2_500, "between"), (2_500, "never"), (40_000, "in the middle")))
def test_a_drawer_that_is_gone(n, when, monkeypatch):
    "The grids come out the same, and no process is left behind."
    started, real = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **kw: started.append(real(["false"] if when == "never" else words, **kw)) or started[0])
    with closing(fresh_epochs(n, 5, 3, 6)) as source:
        for epoch, grids in source:
            assert (grids == fresh_grids(n, 5, epoch)).all()
            if when == "between": started[0].kill(); started[0].wait()
            if when == "in the middle": started[0].stdout.read(1000); started[0].kill()  # the pipe is left with a part of an epoch
            if epoch == 4: break
    assert epoch == 4 and started[0].poll() is not None


def test_progress(made):
    for path in made.values():
        seen = []
        load_corpus(path, lambda *at, seen=seen: seen.append(at))
        assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] == sum(p.stat().st_size for p in ([path] if path.is_file() else path.iterdir()))
