"""Files that were damaged, made by something else, or made to hurt: each is refused in one clear line, quickly and in
little memory, and no code in them runs."""
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, contents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from arc_vae.infra.checkpoint import CheckpointError, read_checkpoint
from arc_vae.code.network import load
from arc_vae.infra.files import DatasetError
from arc_vae.data import load_corpus
from arc_vae.infra.runs import read_arrays, read_run
from arc_vae.evaluate import run_corpus
from arc_vae.infra.runs import ConfigError
from arc_vae.infra.runs import RunError
from arc_vae.training.settings import PRESETS, TrainConfig, make_config, resumed_config
from arc_vae.train import small_run, train

RAN = "code of a file was run"


class Payload:
    "What runs where a pickle is trusted."
    def __reduce__(self): return (print, (RAN,))


# Corpora: a good one as arrays and as bytes, and ways to make a bad one of it

def header(shape, descr="|u1", order=False, version=(1, 0)):
    "The header of an .npy that claims what it likes; bytes instead of a shape are its whole text."
    text = shape if isinstance(shape, bytes) else repr(dict(descr=descr, fortran_order=order, shape=shape)).encode()
    text += b" "*(-(len(text) + 11)%64) + b"\n"
    length_bytes = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(length_bytes, "little") + text


def good_grids():
    "Twenty grids with a few colored cells, uint8 (20, 16, 16)."
    rng = np.random.default_rng(0)
    return ((rng.random((20, 16, 16)) < .07)*rng.integers(1, 10, (20, 16, 16))).astype(np.uint8)


def file_bytes(save, arrays):
    "What np.savez or np.savez_compressed would write."
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


GRIDS = good_grids()
DATA = GRIDS.tobytes()
GOOD = dict(train=GRIDS, val=GRIDS, test=GRIDS)
PACKED = file_bytes(np.savez_compressed, GOOD)
STORED = file_bytes(np.savez, GOOD)
LOCAL = PACKED.index(b"PK\3\4")    # the first member
CENTRAL = PACKED.index(b"PK\1\2")  # the first entry of the list of members
END = PACKED.index(b"PK\5\6")      # the end of that list
DIRECTORY = STORED.index(b"PK\1\2")          # the first entry of the list of members
OBJECTS = np.array([Payload()]*20, dtype=object)


def replaced(data, at, new):
    "Bytes, some of which are others."
    return data[:at] + new + data[at + len(new):]


def flipped(data, at, bits):
    "Bytes with some bits of one of them turned over."
    return replaced(data, at, bytes([data[at] ^ bits]))


def share_of(data, share):
    "The beginning of a file."
    return data[:int(len(data)*share)]


def encrypted(data):
    "A zip whose members all say that they are encrypted."
    out = bytearray(data)
    for i in range(len(data)):
        if data[i:i + 4] == b"PK\1\2": out[i + 8] |= 1
        if data[i:i + 4] == b"PK\3\4": out[i + 6] |= 1
    return bytes(out)


def content(data):
    "A writer of these bytes."
    return lambda path: path.write_bytes(data)


def arrays(**changes):
    "A writer of the good corpus with other arrays; None leaves one out."
    kept = {name: array for name, array in (GOOD | changes).items() if array is not None}
    return lambda path: np.savez(path, **kept)


def members(method=zipfile.ZIP_DEFLATED, **changes):
    "A writer of the good corpus with other bytes as its members."
    whole = {name: header(array.shape) + array.tobytes() for name, array in GOOD.items()} | changes

    def write(path):
        with zipfile.ZipFile(path, "w", method) as z:
            for name, data in whole.items():
                z.writestr(f"{name}.npy", data)
    return write


def nothing(path):
    "Where there is no file."


def member_twice(path):
    "A zip may hold two members of one name."
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as z:
        for name in ("train", "val", "test", "train"):
            z.writestr(f"{name}.npy", header(GRIDS.shape) + DATA)


def many_members(path):
    "Twenty thousand empty members."
    with zipfile.ZipFile(path, "w") as z:
        for i in range(20_000):
            z.writestr(f"{i}.npy", b"")


def header_of_a_gigabyte(path):
    "An .npy whose header says that it is a gigabyte long."
    members(train=b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(60 << 20))(path)


def bomb(path):
    "300 MB of black grids, packed into little."
    members(train=header((1_200_000, 16, 16)) + bytes(1_200_000*256))(path)


COLOR_10 = np.where(np.arange(20)[:, None, None] == 7, 10, GRIDS).astype(np.uint8)
NESTED = b"("*9000 + b")"*9000
NO_NPZ = "expected an .npz"
CORPORA = {  # name: (what the refusal must say, what writes the file)
    "empty": (NO_NPZ, content(b"")),
    "text": (NO_NPZ, content(b"train,val,test\n")),
    "html": (NO_NPZ, content(b"<!doctype html><p>404")),
    "one_npy": (NO_NPZ, content(header(GRIDS.shape) + DATA)),
    "pickle": (NO_NPZ, content(pickle.dumps(Payload()))),
    "cut0.02": (NO_NPZ, content(share_of(PACKED, .02))),
    "cut0.3": (NO_NPZ, content(share_of(PACKED, .3))),
    "cut0.6": (NO_NPZ, content(share_of(PACKED, .6))),
    "cut0.9": (NO_NPZ, content(share_of(PACKED, .9))),
    "cut0.999": (NO_NPZ, content(share_of(PACKED, .999))),
    "no_beginning": ("", content(PACKED[len(PACKED)//2:])),
    "flip100": ("damaged", content(flipped(STORED, 100, 0x10))),
    "flip200": ("damaged", content(flipped(STORED, 200, 0x10))),
    "flip_middle": ("damaged", content(flipped(STORED, len(STORED)//2, 0x10))),
    "header_local": ("", content(replaced(PACKED, LOCAL + 2, b"\xff"*8))),
    "header_central": ("", content(replaced(PACKED, CENTRAL + 2, b"\xff"*8))),
    "header_end": ("", content(replaced(PACKED, END + 2, b"\xff"*8))),
    "encrypted": ("damaged", content(encrypted(PACKED))),

    "float": ("found float64", arrays(train=GRIDS.astype(float))),
    "int64": ("found int64", arrays(val=GRIDS.astype(np.int64))),
    "bool": ("found bool", arrays(test=GRIDS > 0)),
    "words": ("found <U3", arrays(train=GRIDS.astype(str))),
    "big_endian": ("found >u2", arrays(train=GRIDS.astype(">u2"))),
    "complex": ("found complex64", arrays(val=GRIDS.astype(np.complex64))),
    "fields": ("found [('color', 'u1')]", arrays(train=GRIDS.view([("color", "u1")]))),
    "dates": ("found datetime64", arrays(test=GRIDS.astype("datetime64[s]"))),
    "objects": ("found object", arrays(train=OBJECTS)),
    "object_in_factors": ("found object", arrays(train_factors=np.array([Payload()], dtype=object))),
    "narrow": ("found uint8 (20, 16, 15)", arrays(test=GRIDS[:, :, :15])),
    "flat": ("found uint8 (20, 256)", arrays(val=GRIDS.reshape(20, 256))),
    "one_grid": ("found uint8 (16, 16)", arrays(train=GRIDS[0])),
    "nothing_in_it": ("found uint8 (0, 16, 16)", arrays(val=GRIDS[:0])),
    "number": ("found uint8 ()", arrays(train=np.uint8(3))),
    "color_10": ("expected colors 0-9, found 10 in grid 7", arrays(train=COLOR_10)),
    "color_255": ("found 255", arrays(test=255 - GRIDS*0)),
    "no_test": ("member 'test' is missing", arrays(test=None)),
    "typo": ("rename 'trian' to 'train'", arrays(train=None, trian=GRIDS)),
    "factors_rows": ("expected 20 rows", arrays(val_factors=np.zeros((3, 4, 7), np.int8))),
    "other": ("member 'train' is missing", lambda path: np.savez(path, weights=GRIDS)),
    "few_images": ("at least 10 grids", lambda path: np.savez(path, images=GRIDS[:9])),

    "claims_much": ("at most", members(train=header((1 << 40, 16, 16)) + DATA)),
    "claims_more_than_it_has": ("its header claims", members(train=header((21, 16, 16)) + DATA)),
    "claims_less": ("its header claims", members(train=header((19, 16, 16)) + DATA)),
    "negative": ("expected uint8", members(train=header((-20, 16, 16)) + DATA)),
    "huge_number": ("at most", members(train=header((10**30, 16, 16)))),
    "true_many": ("", members(train=header((True, 16, 16)) + DATA[:256])),
    "header_of_code": ("damaged", members(train=header(b"__import__('os').getcwd()"))),
    "header_too_long": ("damaged", members(train=header(b"{" + b"'a':1,"*5000 + b"}"))),
    "header_nested": ("damaged", members(train=header(NESTED))),
    "npy_9": ("damaged", members(train=b"\x93NUMPY\x09\x00" + DATA)),
    "header_of_a_gigabyte": ("damaged", header_of_a_gigabyte),
    "member_empty": ("damaged", members(train=b"")),
    "nested": ("damaged", members(train=PACKED)),
    "bzip2": ("found compression 12", members(zipfile.ZIP_BZIP2)),
    "lzma": ("found compression 14", members(zipfile.ZIP_LZMA)),
    "bomb": ("expected grids that differ", bomb),
    "twice": ("is there twice", member_twice),
    "many": ("expected a handful of members", many_members),

    "folder": ("found a folder", Path.mkdir),
    "pipe": ("found something that is no file", os.mkfifo),
    "loop": ("", lambda path: path.symlink_to("loop.npz")),
    "gone": ("no such file", nothing),
    "x"*300: ("", nothing),

    "stored_less_than_claimed": ("member 'train': cannot be read",
                                 content(replaced(STORED, DIRECTORY + 20, (1000).to_bytes(4, "little")))),
    "stored_elsewhere": ("member 'train': ", content(replaced(STORED, 28, (20 + 64).to_bytes(2, "little")))),
}

CHECK = """
import json, resource, sys, time
from arc_vae.infra.files import DatasetError
from arc_vae.data import load_corpus

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024

load_corpus(sys.argv[1] + "/good.npz")
before = peak()
out = {}
for name in json.load(sys.stdin):
    start = time.monotonic()
    try:
        load_corpus(f"{sys.argv[1]}/{name}.npz")
        said = "LOADED"
    except DatasetError as e:
        said = str(e)
    out[name] = said, time.monotonic() - start, peak() - before
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    "The folder of all bad corpora; name -> what a process of its own said of it, in how many seconds and megabytes."
    folder = tmp_path_factory.mktemp("corpora")
    (folder/"good.npz").write_bytes(PACKED)
    for name, (_, write) in CORPORA.items():
        write(folder/f"{name}.npz")
    done = subprocess.run([sys.executable, "-c", CHECK, folder], input=json.dumps(list(CORPORA)),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert RAN not in done.stdout, done.stderr
    return folder, json.loads(done.stdout)


def test_no_case_got_lost():
    assert len(CORPORA) >= 50
    assert len(CHECKPOINT_BYTES) + len(CHECKPOINTS) > 26


@pytest.mark.parametrize("name", CORPORA, ids=lambda name: name[:30])
def test_bad_corpora(checked, name):
    folder, found = checked
    said, seconds, megabytes = found[name]
    assert said.startswith(str(folder))
    assert CORPORA[name][0] in said
    assert "\n" not in said
    assert seconds <= 10
    assert megabytes <= 300


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_corpus_without_permission(closed):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    file = folder/"secret.npz"
    np.savez(file, train=np.zeros((9, 16, 16), np.uint8))
    (file if closed == "file" else folder).chmod(0)
    user = os.geteuid()
    if user == 0: os.seteuid(65534)  # root may read everything, so be nobody for a moment
    try:
        with pytest.raises(DatasetError, match="no permission"):
            load_corpus(file)
    finally:
        os.seteuid(user)
    folder.chmod(0o700)
    shutil.rmtree(folder)


kinds = st.sampled_from(("flip", "set", "cut", "insert", "copy", "zero"))
edits = st.lists(st.tuples(kinds, st.floats(0, 1), st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


def damage(data, edits):
    "Bytes after some accidents."
    data = bytearray(data)
    for kind, where, other, value in edits:
        if not data: break
        i = int(where*(len(data) - 1))
        j = int(other*(len(data) - 1))
        if kind == "flip":
            data[i] ^= 1 << value%8
        elif kind == "set":
            data[i] = value
        elif kind == "cut":
            del data[i:i + 1 + j//8]
        elif kind == "insert":
            data[i:i] = bytes([value])*(1 + j//50)
        elif kind == "copy":
            data[i:i + 40] = data[j:j + 40]
        else:
            data[i:i + 1 + j//20] = bytes(len(data[i:i + 1 + j//20]))
    return bytes(data)


relaxed = settings(max_examples=300, deadline=10_000, derandomize=True,
                   suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(edits=edits, packed=st.booleans())
def test_any_damaged_corpus(tmp_path, edits, packed):
    "Only a valid corpus or one DatasetError ever comes out."
    file = tmp_path/"c.npz"
    grids = np.arange(12*256, dtype=np.uint8).reshape(12, 16, 16)%10
    save = np.savez_compressed if packed else np.savez
    save(file, train=grids, val=grids[:3], test=grids[:2], train_factors=np.ones((12, 4, 7), np.int8))
    file.write_bytes(damage(file.read_bytes(), edits))
    try:
        corpus = load_corpus(file)
    except DatasetError as e:
        assert str(e).startswith(f"{file}: ")
        assert "\n" not in str(e)
        return
    for split in (corpus.train, corpus.val, corpus.test):
        assert split.dtype == torch.uint8
        assert split.shape[1:] == (16, 16)
        assert len(split)
        assert split.max() < 10


shapes = st.lists(st.integers(-3, 1 << 70), max_size=5)
dtypes = st.sampled_from(("|u1", "<f8", "|O", "|b1", "|V7", "<U9", "|S0", "<M8[s]", "nonsense",
                          [("a", "|u1"), ("b", "<f4", (3, 3))]))
versions = st.sampled_from(((1, 0), (2, 0), (3, 0), (255, 7)))
texts = st.one_of(st.none(), st.binary(max_size=80))


@relaxed
@given(shape=shapes, descr=dtypes, order=st.booleans(), version=versions, rest=st.binary(max_size=600), odd=texts)
def test_any_header(tmp_path, shape, descr, order, version, rest, odd):
    member = header(tuple(shape) if odd is None else odd, descr, order, version) + rest
    with zipfile.ZipFile(tmp_path/"c.npz", "w") as z:
        for name in ("train", "val", "test"):
            z.writestr(f"{name}.npy", member)
    with pytest.raises(DatasetError, match="c.npz: "):
        load_corpus(tmp_path/"c.npz")


def test_numpy_reads_headers_as_these_tests_write_them():
    "Otherwise the table above would be refused for the wrong reason."
    file = io.BytesIO(header((20, 16, 16)))
    assert npy.read_magic(file) == (1, 0)
    assert npy.read_array_header_1_0(file) == ((20, 16, 16), False, np.dtype("u1"))


# Checkpoints

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("hostile")/"run", n_corpus=300, epochs=2, beta_final_epoch=1)


@pytest.fixture
def best(run):
    "The file of the best weights."
    return run/"checkpoints"/"vae_best.pth"


def without(entries, name):
    "A dictionary without one of its entries."
    return {k: v for k, v in entries.items() if k != name}


def with_weights(good, change):
    "A checkpoint with other weights: what change makes of the good ones."
    return good | dict(state_dict=change(good["state_dict"]))


def with_first(good, change):
    "A checkpoint whose first tensor is another: what change makes of it."
    name = next(iter(good["state_dict"]))
    return with_weights(good, lambda weights: weights | {name: change(weights[name])})


CHECKPOINT_BYTES = {  # name: what the file holds instead of its bytes
    "empty": lambda whole: b"",
    "pickle": lambda whole: pickle.dumps(Payload()),
    "cut": lambda whole: whole[:-100],
    "half": lambda whole: whole[:len(whole)//2],
    "flip": lambda whole: flipped(whole, len(whole)//2, 1),
}
CHECKPOINTS = {  # name: what is saved instead of a good checkpoint
    "payload": lambda good: good | dict(extra=Payload()),
    "a_list": lambda good: [good],
    "a_tensor": lambda good: torch.zeros(3),
    "no_format": lambda good: without(good, "format"),
    "future": lambda good: good | dict(format=3),
    "past": lambda good: good | dict(format=1),
    "format_of_words": lambda good: good | dict(format="1"),
    "no_kind": lambda good: without(good, "kind"),
    "unknown_network": lambda good: good | dict(network="transformer"),
    "reference": lambda good: good | dict(network="reference"),
    "dim_words": lambda good: good | dict(latent_dim="10"),
    "dim_huge": lambda good: good | dict(latent_dim=10**12),
    "dim_0": lambda good: good | dict(latent_dim=0),
    "dim_1": lambda good: good | dict(latent_dim=1),
    "dim_12": lambda good: good | dict(latent_dim=12),
    "no_weights": lambda good: without(good, "state_dict"),
    "weights_list": lambda good: with_weights(good, lambda weights: list(weights.values())),
    "number_keys": lambda good: with_weights(good, lambda weights: dict(enumerate(weights.values()))),
    "missing": lambda good: with_weights(good, lambda weights: without(weights, next(iter(weights)))),
    "unknown": lambda good: with_weights(good, lambda weights: weights | dict(more=torch.zeros(1))),
    "no_tensor": lambda good: with_first(good, lambda tensor: 3.),
    "nan": lambda good: with_first(good, lambda tensor: tensor*torch.nan),
}


def assert_refused(path, named=None):
    "Loading fails in one line that names the file, or the folder it would be in."
    with pytest.raises(CheckpointError) as refused:
        load(path)
    said = str(refused.value)
    assert str(named or path) in said
    assert "\n" not in said


@pytest.mark.parametrize("name", CHECKPOINT_BYTES)
def test_checkpoints_of_other_bytes(best, tmp_path, capfd, name):
    file = tmp_path/f"{name}.pth"
    file.write_bytes(CHECKPOINT_BYTES[name](best.read_bytes()))
    assert_refused(file)
    assert RAN not in capfd.readouterr().out


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_bad_checkpoints(best, tmp_path, capfd, name):
    file = tmp_path/f"{name}.pth"
    torch.save(CHECKPOINTS[name](torch.load(best, weights_only=True)), file)
    assert_refused(file)
    assert RAN not in capfd.readouterr().out


def test_checkpoints_in_the_old_format_of_torch(tmp_path, capfd):
    torch.save(Payload(), tmp_path/"old.pth", _use_new_zipfile_serialization=False)
    assert_refused(tmp_path/"old.pth")
    assert RAN not in capfd.readouterr().out


def test_an_encoder_is_no_whole_model(best, tmp_path):
    shutil.copy(best.with_name("encoder.pth"), tmp_path/"encoder_for_all.pth")
    assert_refused(tmp_path/"encoder_for_all.pth")


def test_checkpoints_that_are_not_there(tmp_path):
    assert_refused(tmp_path/"gone.pth")
    (tmp_path/"folder.pth").mkdir()
    assert_refused(tmp_path/"folder.pth"/"x.pth", named=tmp_path/"folder.pth")


@relaxed
@given(edits=edits)
def test_any_damaged_checkpoint(run, tmp_path, edits):
    "A checkpoint that opens holds the very weights that were written."
    good, file = run/"checkpoints"/"decoder.pth", tmp_path/"c.pth"
    weights = read_checkpoint(good, "decoder")["state_dict"]
    file.write_bytes(damage(good.read_bytes(), edits))
    try:
        found = read_checkpoint(file, "decoder")
    except CheckpointError as e:
        assert str(e).startswith(f"{file}: ")
        assert "\n" not in str(e)
        return
    for name, tensor in weights.items():
        assert torch.equal(tensor, found["state_dict"][name]), name


# Settings

UNREADABLE_CONFIGS = {  # name: what config.json holds
    "empty": b"",
    "cut": b'{"preset": "tiny", ',
    "words": b"no config",
    "list": b"[1, 2]",
    "null": b"null",
    "deep": b"["*100_000,
    "binary": bytes(range(256)),
}
CORPUS_CONFIGS = {  # name: settings that say another corpus or another run; None leaves one out
    "corpus_number": dict(corpus=7),
    "hash_gone": dict(corpus_sha256=None),
    "hash_number": dict(corpus_sha256=1),
    "another_hash": dict(corpus_sha256="0"*64),
    "id_gone": dict(wandb_id=None),
}
TRAINING_CONFIGS = {  # name: settings that only a training needs; None leaves one out
    "no_preset": dict(preset=None),
    "preset_list": dict(preset=["tiny"]),
    "preset_typo": dict(preset="tinny"),
    "epochs_words": dict(epochs="many"),
    "epochs_half": dict(epochs=2.5),
    "lr_nan": dict(lr=float("nan")),
    "lr_infinite": dict(lr=float("inf")),
    "seed_negative": dict(seed=-1),
    "seed_huge": dict(seed=1 << 64),
    "dim_huge": dict(latent_dim=10**9),
    "network": dict(network=["objects"]),
    "beta": dict(beta_final="x"),
    "batch_0": dict(batch_size=0),
}
CONFIGS = UNREADABLE_CONFIGS | CORPUS_CONFIGS | TRAINING_CONFIGS


def write_config(run, config, bad):
    "config.json with bad bytes in its place, or with some settings changed."
    if isinstance(bad, bytes):
        data = bad
    else:
        data = json.dumps({k: v for k, v in (config | bad).items() if v is not None}).encode()
    (run/"config.json").write_bytes(data)


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_configs(run, tmp_path, name):
    "Going on with a run, and evaluating it, from a config.json that is not as it was written."
    copy = tmp_path/"run"
    shutil.copytree(run, copy)
    config = json.loads((copy/"config.json").read_text())
    config["corpus"] = str(run.parent/"corpus"/"atomic-300-seed0.npz")
    write_config(copy, config, CONFIGS[name])
    before = contents(copy)
    with pytest.raises((RunError, ConfigError, DatasetError)) as refused:
        train(resumed_config(copy), copy, resume=True)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)
    assert contents(copy) == before, "nothing was overwritten"
    if name not in TRAINING_CONFIGS:
        with pytest.raises((RunError, DatasetError)):
            run_corpus(*read_run(copy, "config"))


words = st.sampled_from(("auto", "cpu", "1e3", "nan", "true", "objects", "offline", "10", " 7 "))
numbers = st.one_of(st.integers(-10, 10), st.integers(-10**40, 10**40), st.floats())
containers = st.one_of(st.lists(st.integers(), max_size=2),
                       st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
anything = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=12), words, containers)
presets = st.one_of(st.sampled_from(list(PRESETS)), anything)
names = st.sampled_from([*(name for name in TrainConfig.model_fields if name != "preset"), "epoch", "beta"])


@relaxed
@given(preset=presets, changes=st.dictionaries(names, anything, max_size=5))
def test_any_parameters(preset, changes):
    "Settings are as they should be, or one ConfigError says which is not."
    try:
        cfg = make_config(preset, **changes)
    except ConfigError as e:
        assert str(e)
        assert "\n" not in str(e).replace("\\n", "")
        return
    for name, field in TrainConfig.model_fields.items():
        assert type(getattr(cfg, name)) is type(field.default), name
    assert cfg.epochs >= 1
    assert 1 <= cfg.latent_dim <= 1000
    assert 0 <= cfg.lr < float("inf")
    assert cfg.network in ("reference", "objects", "objects_fine", "objects_small")


# What else is read

def test_damaged_arrays(run, tmp_path):
    (tmp_path/"evaluation.npz").write_bytes(b"PK\3\4 no")
    with pytest.raises(RunError, match="evaluation.npz: cannot be read"):
        read_arrays(tmp_path, "evaluation", "evaluate")
    np.savez(tmp_path/"latent.npz", pca=np.array([Payload()], dtype=object))
    with pytest.raises(RunError, match="latent.npz: cannot be read"):
        read_arrays(tmp_path, "latent", "evaluate")


COMMANDS = {  # name: what follows arc-vae; the config.json of run `r` is broken
    "train --resume": ("train", "--resume", "r"),
    "evaluate": ("evaluate", "--run", "r"),
    "train --set": ("train", "--preset", "tiny", "--set", "seed=1e99"),
    "train --corpus": ("train", "--corpus", "x"*300),
    "corpus check": ("corpus", "check", "{here}"),
    "run --corpus": ("run", "--corpus", "outputs/black.npz", "--run", "b"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_one_line_on_the_command_line(run, tmp_path, name):
    "The same through the command: exit code 1, one line, no traceback."
    outputs = tmp_path/"outputs"
    outputs.mkdir()
    shutil.copytree(run, outputs/"r")
    (outputs/"r"/"config.json").write_text("{")
    black = np.zeros((20, 16, 16), np.uint8)
    np.savez(outputs/"black.npz", train=black, val=black, test=black)
    words = [word.format(here=tmp_path) for word in COMMANDS[name]]
    done = command("arc-vae", *words, cwd=tmp_path)
    assert "Traceback" not in done.stdout, done.stdout
    assert done.returncode != 0, done.stdout
    line = done.stdout.splitlines()[-1 if name == "evaluate" else 0]
    assert line.startswith(("Error: ", "(the traceback")), done.stdout


def test_nothing_trusts_a_file():
    "No pickle is ever loaded."
    import arc_vae
    for path in Path(arc_vae.__file__).parent.glob("*.py"):
        text = path.read_text()
        for trusting in ("weights_only=False", "allow_pickle=True", "pickle.load"):
            assert trusting not in text, path.name


def test_sockets_are_no_corpora(tmp_path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path/"s.npz"))
        with pytest.raises(DatasetError, match="no file"):
            load_corpus(tmp_path/"s.npz")
