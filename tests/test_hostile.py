"""Files that were damaged, made by something else, or made to hurt: each is refused in one line, none runs."""
import io
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from conftest import command, contents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arc_vae.code.network import load
from arc_vae.corpus.formats import load_corpus, run_corpus
from arc_vae.infra.checkpoint import CheckpointError, read_checkpoint
from arc_vae.infra.files import DatasetError
from arc_vae.infra.runs import ConfigError, RunError, read_arrays, read_run
from arc_vae.train import small_run, train
from arc_vae.training.settings import resumed_config

RAN = "code of a file was run"


class Payload:
    "What runs where a pickle is trusted."
    def __reduce__(self): return (print, (RAN,))


# Corpora: a good one as arrays and as bytes, and ways to make a bad one of it

def header(shape):
    "The header of an .npy that claims what it likes; bytes instead of a shape are its whole text."
    text = shape if isinstance(shape, bytes) else repr(dict(descr="|u1", fortran_order=False, shape=shape)).encode()
    text += b" "*(-(len(text) + 11)%64) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text


def packed(save):
    "The good corpus as the bytes of a file."
    save(file := io.BytesIO(), **GOOD)
    return file.getvalue()


def replaced(data, at, new): return data[:at] + new + data[at + len(new):]
def flipped(data, at): return replaced(data, at, bytes([data[at] ^ 0x10]))


GRIDS = np.random.default_rng(0).integers(0, 10, (20, 16, 16), np.uint8)
DATA = GRIDS.tobytes()
GOOD = dict(train=GRIDS, val=GRIDS, test=GRIDS)
PACKED, STORED = map(packed, (np.savez_compressed, np.savez))
LOCAL, CENTRAL, END = (PACKED.index(mark) for mark in (b"PK\3\4", b"PK\1\2", b"PK\5\6"))  # of a zip's three parts
OBJECTS = np.array([Payload()]*20, dtype=object)
COLOR_10 = replaced(DATA, 7*256 + 18, b"\n")


def content(data): return lambda path: path.write_bytes(data)


def arrays(**changes):
    "A writer of the good corpus with other arrays; None leaves one out."
    return lambda path: np.savez(path, **{name: array for name, array in (GOOD | changes).items() if array is not None})


def train_member(data):
    "A writer of the good corpus with other bytes as its first member."
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("train.npy", data)
            for name in ("val", "test"): z.writestr(f"{name}.npy", header(GRIDS.shape) + DATA)
    return write


CORPORA = {  # name: (what the refusal must say, what writes the file)
    "gone": ("no such file; `arc-vae corpus make", lambda path: None),
    "folder": ("no such file", lambda path: path.mkdir()),
    "pipe": ("no such file", os.mkfifo),
    "loop": ("no such file", lambda path: path.symlink_to("c.npz")),
    "empty": ("BadZipFile", content(b"")),
    "one array": ("BadZipFile.*`arc-vae corpus convert`", content(header(GRIDS.shape) + DATA)),
    "pickle": ("BadZipFile", content(pickle.dumps(Payload()))),
    "cut": ("BadZipFile", content(PACKED[:len(PACKED)//3])),
    "no beginning": ("c.npz: ", content(PACKED[len(PACKED)//2:])),
    "flipped bit": ("member 'train': .*Bad CRC-32", content(flipped(STORED, 200))),
    "local header": ("member 'train'", content(replaced(PACKED, LOCAL + 2, b"\xff"*8))),
    "central header": ("c.npz: ", content(replaced(PACKED, CENTRAL + 2, b"\xff"*8))),
    "end header": ("c.npz: ", content(replaced(PACKED, END + 2, b"\xff"*8))),
    "encrypted": ("is encrypted", content(replaced(PACKED, CENTRAL + 8, b"\x01"))),
    "bomb": ("expected at most 3,221,225,472 bytes of arrays, found 4,",
             content(replaced(PACKED, CENTRAL + 24, (0xF0000000).to_bytes(4, "little")))),
    "header claims much": ("member 'train'", train_member(header((1 << 40, 16, 16)) + DATA)),
    "header claims more": ("member 'train'", train_member(header((21, 16, 16)) + DATA)),
    "header claims less": ("longer than its header says", train_member(header((19, 16, 16)) + DATA)),
    "header of code": ("member 'train'", train_member(header(b"__import__('os').getcwd()"))),
    "nested header": ("member 'train'", train_member(header(b"("*9000 + b")"*9000))),
    "empty member": ("member 'train'", train_member(b"")),
    "floats": (r"expected uint8 \(N, 16, 16\), found float64", arrays(train=GRIDS.astype(float))),
    "pickled grids": ("member 'train': .*Object arrays cannot be loaded", arrays(train=OBJECTS)),
    "pickled factors": ("member 'train_factors'", arrays(train_factors=OBJECTS)),
    "narrow": (r"member 'test': .*found uint8 \(20, 16, 15\)", arrays(test=GRIDS[:, :, :15])),
    "no grids": (r"found uint8 \(0, 16, 16\)", arrays(val=GRIDS[:0])),
    "number": (r"found uint8 \(\)", arrays(train=np.uint8(3))),
    "color 10": ("grid 7: expected whole numbers from 0 to 9, found 10 in row 1, column 2",
                 arrays(train=np.frombuffer(COLOR_10, np.uint8).reshape(GRIDS.shape))),
    "missing": ("member 'test' is missing; expected train, val and test", arrays(test=None)),
    "misspelt": ("member 'train' is missing.*found val, test, trian, did you mean 'trian'",
                 arrays(train=None, trian=GRIDS)),
    "few images": ("at least 10 grids", lambda path: np.savez(path, images=GRIDS[:9])),
    "few factors": ("'val_factors': expected int8 .20, any, 7.", arrays(val_factors=np.zeros((3, 4, 7), np.int8))),
}


@pytest.mark.parametrize("name", CORPORA)
def test_bad_corpora(tmp_path, capfd, name):
    expected, write = CORPORA[name]
    path = tmp_path/"c.npz"
    write(path)
    with pytest.raises(DatasetError, match=expected) as refused: load_corpus(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)
    assert RAN not in capfd.readouterr().out


def test_metadata_is_skipped_and_said(tmp_path, capfd):
    np.savez(tmp_path/"c.npz", **GOOD, metadata=OBJECTS, more=np.arange(3))
    notes = load_corpus(tmp_path/"c.npz").notes
    assert notes == tuple(f"member {name!r} was skipped, never unpickled" for name in ("metadata", "more"))
    assert RAN not in capfd.readouterr().out


kinds = st.sampled_from(("flip", "set", "cut", "insert", "copy"))
edits = st.lists(st.tuples(kinds, st.floats(0, 1), st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)
relaxed = settings(max_examples=200, deadline=None, derandomize=True,
                   suppress_health_check=[HealthCheck.function_scoped_fixture])


def damage(data, edits):
    "Bytes after some accidents."
    data = bytearray(data)
    for kind, where, other, value in edits:
        i, j = (int(share*(len(data) - 1)) for share in (where, other))
        if not data: break
        if kind == "flip": data[i] ^= 1 << value%8
        elif kind == "set": data[i] = value
        elif kind == "cut": del data[i:i + 1 + j//8]
        elif kind == "insert": data[i:i] = bytes([value])*(1 + j//50)
        else: data[i:i + 40] = data[j:j + 40]
    return bytes(data)


def opened(read, file, data, edits):
    "What is read of a file after some accidents; None where it is refused in one line that names it."
    file.write_bytes(damage(data, edits))
    try: return read(file)
    except (DatasetError, CheckpointError) as e:
        assert str(e).startswith(f"{file}: ") and "\n" not in str(e)


@relaxed
@given(edits=edits, data=st.sampled_from((PACKED, STORED)))
def test_any_damaged_corpus(tmp_path, edits, data):
    "Only grids or one DatasetError ever come out."
    corpus = opened(load_corpus, tmp_path/"c.npz", data, edits)
    if corpus is None: return
    for split in (corpus.train, corpus.val, corpus.test): assert split.shape[1:] == (16, 16) and split.max() <= 10


# Checkpoints

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("hostile")/"run", n_corpus=300, epochs=2, beta_final_epoch=1)


def without(entries, name): return {k: v for k, v in entries.items() if k != name}
def with_weights(change): return lambda good: good | dict(state_dict=change(good["state_dict"]))


CHECKPOINTS = {  # name: what is written instead of a good checkpoint: bytes of its bytes, or anything that is saved
    "empty": lambda whole: b"",
    "pickle": lambda whole: pickle.dumps(Payload()),
    "cut": lambda whole: whole[:-100],
    "flip": lambda whole: flipped(whole, len(whole)//2),
    "payload": lambda good: good | dict(extra=Payload()),
    "a list": lambda good: [good],
    "no format": lambda good: without(good, "format"),
    "of the future": lambda good: good | dict(format=4),
    "unknown network": lambda good: good | dict(network="transformer"),
    "dimension of words": lambda good: good | dict(latent_dim="10"),
    "dimension huge": lambda good: good | dict(latent_dim=10**12),
    "no weights": lambda good: without(good, "state_dict"),
    "missing weight": with_weights(lambda weights: without(weights, next(iter(weights)))),
    "unknown weight": with_weights(lambda weights: weights | dict(more=torch.zeros(1))),
    "nan": with_weights(lambda weights: {name: tensor*torch.nan for name, tensor in weights.items()}),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_bad_checkpoints(run, tmp_path, capfd, name):
    best, file = run/"checkpoints"/"vae_best.pth", tmp_path/"c.pth"
    of_bytes = list(CHECKPOINTS).index(name) < 4
    bad = CHECKPOINTS[name](best.read_bytes() if of_bytes else torch.load(best, weights_only=True))
    file.write_bytes(bad) if of_bytes else torch.save(bad, file)
    with pytest.raises(CheckpointError) as refused: load(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)
    assert RAN not in capfd.readouterr().out


@relaxed
@given(edits=edits)
def test_any_damaged_checkpoint(run, tmp_path, edits):
    "A checkpoint that opens holds the very weights that were written."
    def read(path): return read_checkpoint(path, "decoder")["state_dict"]
    good = run/"checkpoints"/"decoder.pth"
    found = opened(read, tmp_path/"c.pth", good.read_bytes(), edits)
    if found is None: return
    for name, tensor in read(good).items(): assert torch.equal(tensor, found[name]), name


# Settings and other files of a run

CONFIGS = {  # name: what config.json holds, or which settings are changed; None leaves one out
    "empty": b"", "cut": b'{"preset": "tiny", ', "list": b"[1, 2]", "deep": b"["*100_000, "binary": bytes(range(256)),
    "corpus": dict(corpus=7), "another hash": dict(corpus_sha256="0"*64), "no id": dict(wandb_id=None),
    "preset": dict(preset=["tiny"]), "misspelt preset": dict(preset="tinny"), "words": dict(epochs="many"),
    "nan": dict(lr=float("nan")), "huge": dict(latent_dim=10**9),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_configs(run, tmp_path, name):
    "Going on with a run, and evaluating it, from a config.json that is not as it was written."
    copy, bad = tmp_path/"run", CONFIGS[name]
    shutil.copytree(run, copy)
    config = json.loads((copy/"config.json").read_text()) | dict(corpus=str(run.parent/"corpus"/"atomic-300-seed0.npz"))
    if isinstance(bad, dict): bad = json.dumps({k: v for k, v in (config | bad).items() if v is not None}).encode()
    (copy/"config.json").write_bytes(bad)
    before = contents(copy)
    with pytest.raises((RunError, ConfigError, DatasetError)) as refused:
        train(resumed_config(copy), copy, resume=True)
    assert len(str(refused.value)) < 600 and "\n" not in str(refused.value)
    assert contents(copy) == before, "nothing was overwritten"
    if list(CONFIGS).index(name) < 8:
        with pytest.raises((RunError, DatasetError)): run_corpus(*read_run(copy, "config"))


def test_damaged_arrays_of_a_run(tmp_path):
    (tmp_path/"evaluation.npz").write_bytes(b"PK\3\4 no")
    np.savez(tmp_path/"samples.npz", z=OBJECTS)
    for name, stage in dict(evaluation="evaluate", samples="sample").items():
        with pytest.raises(RunError, match=f"{name}.npz: .*`arc-vae {stage} --run .* makes it again"):
            read_arrays(tmp_path, name)


@pytest.mark.parametrize("words", ["train --resume r", "evaluate --run r", "train --preset tiny --set seed=1e99",
                                   "corpus check .", "run --corpus outputs/black.npz --run b"])
def test_one_line_on_the_command_line(run, tmp_path, words):
    "The same through the command: exit code 1, one line, no traceback."
    shutil.copytree(run, tmp_path/"outputs"/"r")
    (tmp_path/"outputs"/"r"/"config.json").write_text("{")
    black = np.zeros((20, 16, 16), np.uint8)
    np.savez(tmp_path/"outputs"/"black.npz", train=black, val=black, test=black)
    done = command("arc-vae", *words.split(), cwd=tmp_path)
    assert done.returncode != 0 and "Traceback" not in done.stdout, done.stdout
    line = done.stdout.splitlines()[-1 if words.startswith("evaluate") else 0]
    assert line.startswith(("Error: ", "(the traceback")), done.stdout
