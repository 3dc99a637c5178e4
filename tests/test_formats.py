"""Corpora: the published grids, and files of others that have one meaning; the rest is one line."""
import hashlib
import json
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import arc_vae
from arc_vae.apps.cli import main
from arc_vae.corpus.formats import arc_tasks, convert, corpus_report, load_corpus, save_corpus
from arc_vae.corpus.formats import split_of
from arc_vae.corpus.generator import fresh_grids, make_grids
from arc_vae.data import OUTSIDE, SPLITS, GridCorpus
from arc_vae.infra.files import DatasetError
from arc_vae.training.settings import make_config, open_corpus

GRIDS = make_grids(60, seed=5)[0]
PARTS = dict(train=GRIDS[:40], val=GRIDS[40:50], test=GRIDS[50:])


def test_the_published_grids():
    "All published results stand on these: a faster generator must not move a cell."
    digest = hashlib.sha256()
    for array in make_grids(100_000): digest.update(array.tobytes())
    assert digest.hexdigest() == "6fbef3dc0bf1f049b10eda4998eaf7e0e52239e4883861f882f84ae5658cdf03"


def test_fresh_grids_are_nobodys_training_data():
    first, second = (fresh_grids(4_000, 0, epoch) for epoch in range(2))
    known = {g.tobytes() for g in make_grids(4_000)[0]}
    for fresh in (first, second):
        assert np.mean([g.tobytes() in known for g in fresh]) < .02, "copies by chance, as between parts of a corpus"
    assert (fresh_grids(2_500, 0, 1) == second[:2_500]).all()
    assert (fresh_grids(4_000, 2**40, 0) != first).any((1, 2)).mean() > .98


def test_copies_are_counted():
    "Against a count by hand, on grids with many copies."
    eight_cells = (np.arange(256).reshape(16, 16) < 8).astype(np.uint8)
    g = torch.from_numpy(np.random.default_rng(0).integers(2, size=(900, 16, 16), dtype=np.uint8)*eight_cells)
    corpus = GridCorpus("memory", "", g[:600], g[600:750], g[750:], {})
    report = corpus_report(corpus)
    distinct = {s: {x.numpy().tobytes() for x in getattr(corpus, s)} for s in SPLITS}
    for split, n in zip(SPLITS, (600, 150, 150)):
        assert report[f"duplicates_within_{split}"] == n - len(distinct[split])
    assert report["test_in_train"] == sum(x.numpy().tobytes() in distinct["train"] for x in corpus.test) > 50
    assert report["background_share"] == float((g == 0).double().mean())


KINDS = {"int64": lambda x: x.astype(np.int64), "float16": lambda x: x.astype(np.float16),
         "big-endian": lambda x: x.astype(">i4"), "columns first": np.asfortranarray,
         "channel last": lambda x: x[..., None], "channel first": lambda x: x[:, None].astype(np.int8)}
FILES = {"a.npy": lambda p, x: np.save(p, x), "arr_0.npz": lambda p, x: np.savez(p, x),
         "x_train.npz": lambda p, x: np.savez(p, x_train=x, y_train=np.arange(len(x)), names=np.array(["a"])),
         "pickled.npz": lambda p, x: np.savez(p, X=x, info=np.array([dict(a=1)], object))}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_array_of_any_kind_under_any_name(tmp_path, kind, file):
    FILES[file](tmp_path/file, KINDS[kind](GRIDS))
    made = load_corpus(convert(tmp_path/file, tmp_path/"out.npz"))
    parts = [getattr(made, split) for split in SPLITS]
    assert [len(part) for part in parts] == [48, 6, 6]
    assert sorted(g.numpy().tobytes() for g in torch.cat(parts)) == sorted(g.tobytes() for g in GRIDS)


@pytest.mark.parametrize("names", [("x_train", "x_valid", "x_test"), ("training_grids", "val", "testing_data"),
                                   ("X_TRAIN", "X.VALIDATION", "images-test")])
def test_splits_stay_what_they_are(tmp_path, names):
    np.savez(tmp_path/"in.npz", **{name: PARTS[split].astype(int) for name, split in zip(names, SPLITS)})
    made = load_corpus(convert(tmp_path/"in.npz", tmp_path/"out.npz"))
    for split in SPLITS: assert np.array_equal(getattr(made, split).numpy(), PARTS[split])


TASK = dict(train=[dict(input=[[1, 2]], output=[[2], [1]])]*2, test=[dict(input=[[3]])])
GUESSES = {"a": [dict(attempt_1=[[0]], attempt_2=[[0]])]}
LARGE = dict(train=[dict(input=[[1]*17], output=[[4]])], test=[])
JSON = {
    "one task": ({"t.json": TASK}, 5, 0),
    "tasks by name": ({"all.json": {str(i): TASK for i in range(3)}}, 15, 0),
    "solutions": ({"s.json": {"a": [[[1]], [[2]]], "b": [[[3]]]}}, 3, 0),
    "grids": ({"g.json": [[[1, 2], [3, 4]], [[5]]]}, 2, 0),
    "folder": ({f"training/{i}.json": TASK for i in range(4)} | {"evaluation/0.json": TASK, "README.md": None}, 25, 0),
    "larger ones": ({"t.json": TASK, "large.json": LARGE}, 6, 1),
    "foreign ones": ({"t.json": TASK, "package.json": dict(name="x", bin=["a"]), "guesses.json": GUESSES}, 5, 0),
}


@pytest.mark.parametrize("name", JSON)
def test_tasks(tmp_path, name, capsys):
    files, n, larger = JSON[name]
    for file, content in files.items():
        (tmp_path/"in"/file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/"in"/file).write_text(json.dumps(content))
    source = tmp_path/"in" if len(files) > 1 else tmp_path/"in"/file
    assert sum(map(len, arc_vae.read_grids(source).values())) == n
    said = capsys.readouterr().out
    assert f"{larger} are larger than 16x16 and were left out" in said
    others = [file for file in ("README.md", "guesses.json", "package.json") if file in files]
    assert f"{len(others)} other files: {', '.join(others)}" in said or not others


def test_the_layout_of_the_arc_prize(tmp_path):
    "Challenges and solutions are two files; test challenges are those of evaluation again."
    def grid(task, k): return [[task//10, task%10, k]]
    def challenge(i): return dict(train=[dict(input=grid(i, 0), output=grid(i, 1))], test=[dict(input=grid(i, 2))])
    (tmp_path/"validation").mkdir()  # its name is no role
    for name, tasks in dict(training=range(30), evaluation=range(30, 50), test=range(30, 40)).items():
        files = dict(challenges=challenge) | ({} if name == "test" else dict(solutions=lambda i: [grid(i, 3)]))
        for kind, content in files.items():
            file = tmp_path/"validation"/f"arc-agi_{name}_{kind}.json"
            file.write_text(json.dumps({str(i): content(i) for i in tasks}))
    made = load_corpus(convert(tmp_path/"validation", tmp_path/"out.npz"))
    parts = [getattr(made, split) for split in SPLITS]
    tasks_of = [{tuple(grid[0, :2].tolist()) for grid in part} for part in parts]
    assert sum(map(len, parts)) == 50*4 + 10*3 and list(map(len, tasks_of)) == [40, 5, 5]


@pytest.mark.parametrize("in_one", [True, False])
def test_tasks_in_files_of_splits(tmp_path, in_one):
    content = {split: {f"test_{i}": [[[1, k]]] for i in range(20)} for k, split in enumerate(SPLITS)}
    files = dict(all=content) if in_one else content
    for name, tasks in files.items(): (tmp_path/f"{name}.json").write_text(json.dumps(tasks))
    made = load_corpus(convert(tmp_path, tmp_path/"out.npz"))
    for k, split in enumerate(SPLITS): assert getattr(made, split)[:, 0, 1].tolist() == [k]*20


def test_a_task_is_not_torn_apart(tmp_path):
    tasks = {str(i): [[[i//10, i%10, k]] for k in range(5)] for i in range(30)}
    (tmp_path/"t.json").write_text(json.dumps(tasks))
    made = load_corpus(convert(tmp_path/"t.json", tmp_path/"out.npz"))
    tasks_of = [{tuple(grid[0, :2].tolist()) for grid in getattr(made, split)} for split in SPLITS]
    assert list(map(len, tasks_of)) == [24, 3, 3] and len(set.union(*tasks_of)) == 30


def arrays(**members): return lambda p: np.savez(p.with_suffix(".npz"), **members)
def array(x): return lambda p: np.save(p.with_suffix(".npy"), x)
def text(suffix, content): return lambda p: p.with_suffix(suffix).write_text(content)


BAD = {
    "two arrays": ("expected one array of grids, .* found a .60, 16, 16., b .60, 16, 16.", arrays(a=GRIDS, b=GRIDS)),
    "two of a split": ("found train .*, x_train", arrays(train=GRIDS, x_train=GRIDS)),
    "missing split": ("one each for train, val and test; found train .*, test", arrays(train=GRIDS, test=GRIDS)),
    "misspelt split": ("found trian .*, val .*, test", arrays(trian=GRIDS, val=GRIDS, test=GRIDS)),
    "no grids": ("found none", arrays(labels=np.arange(9), names=np.array(["a"]))),
    "fractions": (r"expected whole numbers from 0 to 9, found 0.5 in row 0, column 0", array(GRIDS + .5)),
    "NaN": ("grid 1: .*found nan in row 2, column 3",
            array(np.where(np.arange(60*256).reshape(60, 16, 16) == 256 + 2*16 + 3, np.nan, 0))),
    "tens": ("found 10", array(np.full((9, 16, 16), 10))),
    "below zero": ("found -1", array(np.full((9, 16, 16), -1))),
    "large": (r"of at most 16x16, found shape \(30, 30\)", array(np.zeros((9, 30, 30)))),
    "colors as planes": (r"found shape \(16, 16, 10\)", array(np.zeros((9, 16, 16, 10)))),
    "words": ("found <U1", array(np.full((9, 16, 16), "a"))),
    "objects": ("cannot be read .ValueError", array(np.full((9, 2, 2), None))),
    "few": ("expected at least 10 grids to split 80/10/10, found 9", array(GRIDS[:9])),
    "no JSON": ("cannot be read .JSONDecodeError", text(".json", "{")),
    "JSON of nothing": ("expected grids of at most 16x16 in lists of lists, found none", text(".json", "[1, 2]")),
    "JSON of ragged rows": ("rows of different lengths", text(".json", "[[[1, 2], [3]]]")),
    "JSON of tens": ("grid 0: expected whole numbers from 0 to 9, found 10", text(".json", "[[[10]]]")),
    "JSON of null": ("whole numbers from 0 to 9, found object", text(".json", "[[[1, null]]]")),
    "table": ("expected .npz, .npy, .json or a folder of .json, found another ending", text(".csv", "1,2")),
    "damaged": ("BadZipFile", text(".npz", "PK")),
    "empty": ("cannot be read .EOFError|cannot be read .ValueError", text(".npy", "")),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_open_or_wrong_is_one_line(tmp_path, name):
    expected, write = BAD[name]
    write(tmp_path/"in.x")
    (source,) = tmp_path.iterdir()
    with pytest.raises(DatasetError, match=expected) as error: convert(source, tmp_path/"out.npz")
    assert str(error.value).startswith(str(source)) and "\n" not in str(error.value)
    assert os.listdir(tmp_path) == [source.name], "nothing was written"
    if source.suffix != ".json": return
    (tmp_path/"a.json").write_text(json.dumps(TASK))
    if "found none" not in expected:
        with pytest.raises(DatasetError, match=f"^{source}: .*({expected})"): convert(tmp_path, tmp_path/"out.npz")


def test_saving_refuses_what_no_training_could_read(tmp_path):
    out = tmp_path/"folder"/"own.npz"
    arc_vae.save_corpus(out, PARTS)
    refused = {"already exists": (out, PARTS), "found vall": (tmp_path/"a", dict(vall=GRIDS)),
               "grid 0: expected whole numbers": (tmp_path/"a", PARTS | dict(test=GRIDS[:1] + 10))}
    for expected, (path, grids) in refused.items():
        with pytest.raises(DatasetError, match=expected): arc_vae.save_corpus(path, grids)
    again = arc_vae.save_corpus(tmp_path/"again.npz", PARTS)
    assert again.read_bytes() == out.read_bytes(), "same grids, same bytes"
    assert np.array_equal(load_corpus(out).train.numpy(), PARTS["train"])


def test_grids_may_keep_their_sizes(tmp_path):
    small = [[[1, 0, 2]], [[3], [4]]]*6
    made = load_corpus(save_corpus(tmp_path/"sized.npz", dict.fromkeys(SPLITS, small), OUTSIDE, range(12)))
    assert (made.test < OUTSIDE).sum((1, 2)).tolist() == [3, 2]*6
    assert made.head(test=3).tasks.tolist() == [0, 1, 2]
    grids = made.train.numpy().copy()
    grids[7, 0, 0] = OUTSIDE
    np.savez(tmp_path/"hole.npz", train=grids, val=grids, test=grids)
    with pytest.raises(DatasetError, match="member 'train': grid 7: .*found 10 in row 0, column 0"):
        load_corpus(tmp_path/"hole.npz")


def test_tasks_of_evaluations_are_never_trained_on(tmp_path):
    corpus = open_corpus(make_config("arc"), tmp_path)
    with pytest.raises(DatasetError, match="network: expected objects_canvas .*, found reference"):
        open_corpus(make_config("arc", network="reference"), tmp_path)
    assert [len(getattr(corpus, split)) for split in SPLITS] == [3840, 416, 2548]
    trained = {grid.numpy().tobytes() for grid in torch.cat([corpus.train, corpus.val])}
    for version in (1, 2):
        for name, grids in arc_tasks("evaluation", version).items():
            if len(grids) < 6: continue  # a few grids of one color may stand anywhere
            assert not all(grid.numpy().tobytes() in trained for grid in grids), name


def test_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def arc_vae_corpus(*words):
        done = CliRunner().invoke(main, ["corpus", *words])
        return done.exit_code, done.output

    np.save("ints.npy", GRIDS.astype(int))
    code, said = arc_vae_corpus("check", "ints.npy")
    assert code == 1 and "`arc-vae corpus convert` makes a corpus" in said
    code, said = arc_vae_corpus("convert", "ints.npy", "corpus.npz")
    assert code == 0 and "48 train, 6 val, 6 test" in said
    code, said = arc_vae_corpus("convert", "ints.npy", "corpus.npz")
    assert code == 1 and "already exists" in said


def test_names_of_splits():
    assert [split_of(name) for name in ("train_or_test", "test2", "latest", "x", "")] == [None]*5
