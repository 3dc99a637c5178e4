"""Files that were damaged, made by something else, or made to hurt: each is refused in one clear line, quickly and in little memory, and no code in them runs."""
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

from arc_vae.checkpoint import CheckpointError, load, load_halves, read_checkpoint, verify
from arc_vae.data import DatasetError, load_corpus
from arc_vae.evaluate import read_arrays, read_run
from arc_vae.train import PRESETS, ConfigError, RunError, TrainConfig, make_config, resumed_config, small_run

RAN = "code of a file was run"


class Payload:
    "What runs where a pickle is trusted."
    def __reduce__(self): return (print, (RAN,))


def header(shape, descr="|u1", order=False, version=(1, 0)):
    "The header of an .npy that claims what it likes."
    text = repr(dict(descr=descr, fortran_order=order, shape=shape)).encode() if not isinstance(shape, bytes) else shape
    text += b" "*(-(len(text) + 11)%64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2 if version == (1, 0) else 4, "little") + text


def corpora(folder):
    "name -> a bad corpus and what its refusal must say."
    rng = np.random.default_rng(0)
    g = ((rng.random((20, 16, 16)) < .07)*rng.integers(1, 10, (20, 16, 16))).astype(np.uint8)
    good, data = dict(train=g, val=g, test=g), g.tobytes()
    np.savez_compressed(folder/"good.npz", **good)
    np.savez(folder/"stored.npz", **good)
    raw, stored, table = (folder/"good.npz").read_bytes(), bytearray((folder/"stored.npz").read_bytes()), {}

    def arrays(name, words, **changed):
        np.savez(folder/f"{name}.npz", **{k: v for k, v in (good | changed).items() if v is not None}); table[name] = words
    def content(name, words, data):
        (folder/f"{name}.npz").write_bytes(data); table[name] = words
    def members(name, words, method=zipfile.ZIP_DEFLATED, **changed):
        whole = {f"{k}.npy": header(v.shape) + v.tobytes() for k, v in good.items()} | {f"{k}.npy": v for k, v in changed.items()}
        with zipfile.ZipFile(folder/f"{name}.npz", "w", method) as z:
            for k, v in whole.items(): z.writestr(k, v)
        table[name] = words

    content("empty", "expected an .npz", b""); content("text", "expected an .npz", b"train,val,test\n"); content("html", "expected an .npz", b"<!doctype html><p>404")
    content("one_npy", "expected an .npz", header(g.shape) + data); content("pickle", "expected an .npz", pickle.dumps(Payload()))
    for share in (.02, .3, .6, .9, .999): content(f"cut{share}", "expected an .npz", raw[:int(len(raw)*share)])
    content("no_beginning", "", raw[len(raw)//2:])
    for at in (100, 200, len(stored)//2):
        flipped = bytearray(stored); flipped[at] ^= 0x10; content(f"flip{at}", "damaged", bytes(flipped))
    for name, where in dict(local=raw.index(b"PK\3\4"), central=raw.index(b"PK\1\2"), end=raw.index(b"PK\5\6")).items():
        broken = bytearray(raw); broken[where + 2:where + 10] = b"\xff"*8; content(f"header_{name}", "", bytes(broken))
    arrays("float", "found float64", train=g.astype(float)); arrays("int64", "found int64", val=g.astype(np.int64)); arrays("bool", "found bool", test=g > 0)
    arrays("words", "found <U3", train=g.astype(str)); arrays("big_endian", "found >u2", train=g.astype(">u2")); arrays("complex", "found complex64", val=g.astype(np.complex64))
    arrays("fields", "found [('color', 'u1')]", train=g.view([("color", "u1")])); arrays("dates", "found datetime64", test=g.astype("datetime64[s]"))
    arrays("objects", "found object", train=np.array([Payload()]*20, dtype=object)); arrays("object_in_factors", "found object", train_factors=np.array([Payload()], dtype=object))
    arrays("narrow", "found uint8 (20, 16, 15)", test=g[:, :, :15]); arrays("flat", "found uint8 (20, 256)", val=g.reshape(20, 256)); arrays("one_grid", "found uint8 (16, 16)", train=g[0])
    arrays("nothing_in_it", "found uint8 (0, 16, 16)", val=g[:0]); arrays("number", "found uint8 ()", train=np.uint8(3))
    arrays("color_10", "expected colors 0-9, found 10 in grid 7", train=np.where(np.arange(20)[:, None, None] == 7, 10, g).astype(np.uint8)); arrays("color_255", "found 255", test=255 - g*0)
    arrays("no_test", "member 'test' is missing", test=None); arrays("typo", "did you mean 'trian'", train=None, trian=g); arrays("factors_rows", "expected 20 rows", val_factors=np.zeros((3, 4, 7), np.int8))
    np.savez(folder/"other.npz", weights=g); table["other"] = "member 'train' is missing"
    np.savez(folder/"few_images.npz", images=g[:9]); table["few_images"] = "at least 10 grids"
    members("claims_much", "at most", train=header((1 << 40, 16, 16)) + data); members("claims_more_than_it_has", "its header claims", train=header((21, 16, 16)) + data)
    members("claims_less", "its header claims", train=header((19, 16, 16)) + data); members("negative", "expected uint8", train=header((-20, 16, 16)) + data)
    members("huge_number", "at most", train=header((10**30, 16, 16))); members("true_many", "", train=header((True, 16, 16)) + data[:256]); members("header_of_code", "damaged", train=header(b"__import__('os').getcwd()"))
    members("header_too_long", "damaged", train=header(b"{" + b"'a':1,"*5000 + b"}")); members("header_nested", "damaged", train=header(b"("*9000 + b")"*9000)); members("npy_9", "damaged", train=b"\x93NUMPY\x09\x00" + data)
    members("header_of_a_gigabyte", "damaged", train=b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(60 << 20)); members("member_empty", "damaged", train=b"")
    members("nested", "damaged", train=raw); members("bzip2", "found compression 12", zipfile.ZIP_BZIP2); members("lzma", "found compression 14", zipfile.ZIP_LZMA)
    members("bomb", "expected grids that differ", train=header((1_200_000, 16, 16)) + bytes(1_200_000*256))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(folder/"twice.npz", "w") as z:
        for k in ("train", "val", "test", "train"): z.writestr(f"{k}.npy", header(g.shape) + data)
    table["twice"] = "is there twice"
    with zipfile.ZipFile(folder/"many.npz", "w") as z:
        for i in range(20_000): z.writestr(f"{i}.npy", b"")
    table["many"] = "expected a handful of members"
    encrypted = bytearray(raw)
    for i in range(len(raw)):
        if raw[i:i + 4] == b"PK\1\2": encrypted[i + 8] |= 1
        if raw[i:i + 4] == b"PK\3\4": encrypted[i + 6] |= 1
    content("encrypted", "damaged", bytes(encrypted))
    (folder/"folder.npz").mkdir(); os.mkfifo(folder/"pipe.npz"); (folder/"loop.npz").symlink_to("loop.npz")
    table |= dict(folder="found a folder", pipe="found something that is no file", loop="", gone="no such file")
    table["x"*300] = ""
    return table | shards(folder, good, raw, bytes(stored))


def shards(folder, good, raw, stored):
    "name -> a bad folder of shards, or a bad file that would be mapped, and what its refusal must say."
    table, factors = {}, {f"{s}_factors": np.zeros((20, 4, 7), np.int8) for s in good}

    def shards(name, words, second, **first):
        (folder/f"{name}.npz").mkdir()
        np.savez(folder/f"{name}.npz"/"0.npz", **good, **first); np.savez_compressed(folder/f"{name}.npz"/"2.npz", **good, **first)
        if isinstance(second, bytes): (folder/f"{name}.npz"/"1.npz").write_bytes(second)
        else: np.savez(folder/f"{name}.npz"/"1.npz", **good | second)
        table[name] = words
    def content(name, words, data): (folder/f"{name}.npz").write_bytes(data); table[name] = words

    grids, names = stored.index(b"NUMPY") + 1000, stored.index(b"PK\1\2")
    flipped = bytearray(stored); flipped[grids] ^= 1
    shards("shard_empty", "1.npz: expected an .npz", b""); shards("shard_cut", "1.npz: expected an .npz", raw[:len(raw)//2]); shards("shard_pickle", "1.npz: expected an .npz", pickle.dumps(Payload()))
    shards("shard_checksum", "1.npz: member 'train': cannot be read, the file is damaged (BadZipFile: Bad CRC-32", bytes(flipped)); shards("shard_short", "1.npz: ", stored[:grids] + stored[grids + 500:])
    shards("shard_narrow", "1.npz: member 'test': expected uint8 (N, 16, 16), found uint8 (20, 16, 9)", dict(test=good["test"][:, :, :9])); shards("shard_none", "1.npz: member 'val': expected uint8", dict(val=good["val"][:0]))
    shards("shard_color", "1.npz: member 'train': expected colors 0-9, found 12", dict(train=good["train"] + 12)); shards("shard_objects", "1.npz: member 'train': expected uint8", dict(train=np.array([Payload()]*20, dtype=object)))
    shards("shard_factors", "1.npz: member 'val_factors': expected int8 (N, 4, 7) like 0.npz, found int8 (N, 6, 7)", factors | dict(val_factors=np.zeros((20, 6, 7), np.int8)), **factors)
    for name in ("shards_none", "shards_text", "shards_hidden", "shards_folder"): (folder/f"{name}.npz").mkdir(); table[name] = "found a folder without any"
    (folder/"shards_text.npz"/"train.txt").write_text("grids"); (folder/"shards_hidden.npz"/"._0.npz").write_bytes(b"what a Mac leaves behind")
    (folder/"shards_folder.npz"/"0.npz").mkdir(); table["shards_folder"] = "0.npz: expected an .npz file, found a folder"
    sizes = bytearray(stored); sizes[names + 20:names + 24] = (1000).to_bytes(4, "little"); content("stored_less_than_claimed", "member 'train': cannot be read", bytes(sizes))
    extra = bytearray(stored); extra[28:30] = (20 + 64).to_bytes(2, "little"); content("stored_elsewhere", "member 'train': ", bytes(extra))
    return table


CHECK = """
import json, resource, sys, time
from arc_vae.data import DatasetError, load_corpus
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
load_corpus(sys.argv[1] + "/good.npz")
before, out = peak(), {}
for name in json.load(sys.stdin):
    start = time.monotonic()
    try: load_corpus(f"{sys.argv[1]}/{name}.npz"); said = "LOADED"
    except DatasetError as e: said = str(e)
    out[name] = said, time.monotonic() - start, peak() - before
print(json.dumps(out))
"""


def test_bad_corpora(tmp_path):
    table = corpora(tmp_path)
    assert len(table) >= 50
    done = subprocess.run([sys.executable, "-c", CHECK, tmp_path], input=json.dumps(list(table)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and RAN not in done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert {name: said for name, (said, _, _) in found.items() if not (said.startswith(str(tmp_path)) and table[name] in said and "\n" not in said)} == {}
    assert {name: cost for name, (_, *cost) in found.items() if cost[0] > 10 or cost[1] > 300} == {}, "seconds and megabytes"


def test_a_corpus_without_permission(tmp_path):
    folder = Path(tempfile.mkdtemp(dir="/tmp")); folder.chmod(0o755)
    np.savez(folder/"secret.npz", train=np.zeros((9, 16, 16), np.uint8))
    for path, mode in ((folder/"secret.npz", 0), (folder, 0)):
        path.chmod(mode)
        me = os.geteuid()
        if me == 0: os.seteuid(65534)  # root may read everything, so be nobody for a moment
        try:
            with pytest.raises(DatasetError, match="no permission"): load_corpus(folder/"secret.npz")
        finally: os.seteuid(me)
    folder.chmod(0o700); shutil.rmtree(folder)


edits = st.lists(st.tuples(st.sampled_from(("flip", "set", "cut", "insert", "copy", "zero")), st.floats(0, 1), st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


def damage(data, edits):
    "Bytes after some accidents."
    data = bytearray(data)
    for what, where, other, value in edits:
        if not data: break
        i, j = int(where*(len(data) - 1)), int(other*(len(data) - 1))
        if what == "flip": data[i] ^= 1 << value%8
        elif what == "set": data[i] = value
        elif what == "cut": del data[i:i + 1 + j//8]
        elif what == "insert": data[i:i] = bytes([value])*(1 + j//50)
        elif what == "copy": data[i:i + 40] = data[j:j + 40]
        else: data[i:i + 1 + j//20] = bytes(len(data[i:i + 1 + j//20]))
    return bytes(data)


relaxed = settings(max_examples=300, deadline=10_000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(edits=edits, packed=st.booleans())
def test_any_damaged_corpus(tmp_path, edits, packed):
    "Only a valid corpus or one DatasetError ever comes out."
    g = np.arange(12*256, dtype=np.uint8).reshape(12, 16, 16)%10
    (np.savez_compressed if packed else np.savez)(tmp_path/"c.npz", train=g, val=g[:3], test=g[:2], train_factors=np.ones((12, 4, 7), np.int8))
    (tmp_path/"c.npz").write_bytes(damage((tmp_path/"c.npz").read_bytes(), edits))
    try: corpus = load_corpus(tmp_path/"c.npz")
    except DatasetError as e: assert str(e).startswith(f"{tmp_path}/c.npz: ") and "\n" not in str(e)
    else:
        for s in (corpus.train, corpus.val, corpus.test): assert s.dtype == torch.uint8 and s.shape[1:] == (16, 16) and len(s) and s.max() < 10


@relaxed
@given(shape=st.lists(st.integers(-3, 1 << 70), max_size=5), descr=st.sampled_from(("|u1", "<f8", "|O", "|b1", "|V7", "<U9", "|S0", "<M8[s]", "nonsense", [("a", "|u1"), ("b", "<f4", (3, 3))])), order=st.booleans(),
       version=st.sampled_from(((1, 0), (2, 0), (3, 0), (255, 7))), rest=st.binary(max_size=600), odd=st.one_of(st.none(), st.binary(max_size=80)))
def test_any_header(tmp_path, shape, descr, order, version, rest, odd):
    text = odd if odd is not None else tuple(shape)
    with zipfile.ZipFile(tmp_path/"c.npz", "w") as z:
        for name in ("train", "val", "test"): z.writestr(f"{name}.npy", header(text, descr, order, version) + rest)
    with pytest.raises(DatasetError, match="c.npz: "): load_corpus(tmp_path/"c.npz")


def test_numpy_reads_headers_as_these_tests_write_them():
    "Otherwise the tables above would be refused for the wrong reason."
    import io
    f = io.BytesIO(header((20, 16, 16)))
    assert npy.read_magic(f) == (1, 0) and npy.read_array_header_1_0(f) == ((20, 16, 16), False, np.dtype("u1"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("hostile")/"run", n_corpus=300, epochs=2, beta_final_epoch=1)


def test_bad_checkpoints(run, tmp_path, capfd):
    files, whole = run/"checkpoints", (run/"checkpoints"/"vae_best.pth").read_bytes()
    found = torch.load(files/"vae_best.pth", weights_only=True)
    weights = found["state_dict"]; first = next(iter(weights))
    torch.save(found | dict(extra=Payload()), tmp_path/"payload.pth"); (tmp_path/"pickle.pth").write_bytes(pickle.dumps(Payload())); torch.save(Payload(), tmp_path/"old.pth", _use_new_zipfile_serialization=False)
    (tmp_path/"empty.pth").write_bytes(b""); (tmp_path/"folder.pth").mkdir(); (tmp_path/"cut.pth").write_bytes(whole[:-100]); (tmp_path/"half.pth").write_bytes(whole[:len(whole)//2])
    flipped = bytearray(whole); flipped[len(whole)//2] ^= 1; (tmp_path/"flip.pth").write_bytes(flipped)
    shutil.copy(files/"encoder.pth", tmp_path/"encoder_for_all.pth")
    changed = dict(
        no_format={k: v for k, v in found.items() if k != "format"}, future=found | dict(format=3), past=found | dict(format=1), format_of_words=found | dict(format="1"), no_kind={k: v for k, v in found.items() if k != "kind"}, no_weights={k: v for k, v in found.items() if k != "state_dict"},
        weights_list=found | dict(state_dict=list(weights.values())), unknown_network=found | dict(network="transformer"), dim_words=found | dict(latent_dim="10"), dim_huge=found | dict(latent_dim=10**12), dim_0=found | dict(latent_dim=0), dim_1=found | dict(latent_dim=1),
        dim_12=found | dict(latent_dim=12), reference=found | dict(network="reference"), a_list=[found], a_tensor=torch.zeros(3), missing=found | dict(state_dict={k: v for k, v in weights.items() if k != first}), unknown=found | dict(state_dict=weights | dict(more=torch.zeros(1))),
        no_tensor=found | dict(state_dict=weights | {first: 3.}), double=found | dict(state_dict=weights | {first: weights[first].double()}), sparse=found | dict(state_dict=weights | {first: weights[first].to_sparse()}), nan=found | dict(state_dict=weights | {first: weights[first]*torch.nan}),
        number_keys=found | dict(state_dict={i: v for i, v in enumerate(weights.values())}))
    for name, content in changed.items(): torch.save(content, tmp_path/f"{name}.pth")
    names = sorted(p.name for p in tmp_path.glob("*.pth")) + ["gone.pth"]
    assert len(names) > 30
    for name in names:
        with pytest.raises(CheckpointError) as refused: load(tmp_path/name if name != "folder.pth" else tmp_path/name/"x.pth")
        assert str(tmp_path/name) in str(refused.value) and "\n" not in str(refused.value), refused.value
    assert RAN not in capfd.readouterr().out


@relaxed
@given(edits=edits)
def test_any_damaged_checkpoint(run, tmp_path, edits):
    "A checkpoint that opens holds the very weights that were written."
    found = read_checkpoint(run/"checkpoints"/"decoder.pth", "decoder")
    (tmp_path/"c.pth").write_bytes(damage((run/"checkpoints"/"decoder.pth").read_bytes(), edits))
    try: again = read_checkpoint(tmp_path/"c.pth", "decoder")
    except CheckpointError as e: assert str(e).startswith(f"{tmp_path}/c.pth: ") and "\n" not in str(e)
    else: assert all(torch.equal(v, again["state_dict"][k]) for k, v in found["state_dict"].items())


def test_halves_of_two_models(run, tmp_path):
    other = small_run(tmp_path/"other", n_corpus=300, epochs=1, beta_mid_epoch=1, beta_final_epoch=1, seed=1)
    shutil.copy(run/"checkpoints"/"decoder.pth", other/"checkpoints"/"decoder.pth")
    with pytest.raises(CheckpointError, match="come from different exports"): load_halves(other/"checkpoints")
    assert "expected sha256" in dict(verify(other))["decoder.pth"]


CONFIGS = dict(empty=b"", cut=b'{"preset": "tiny", ', words=b"no config", list=b"[1, 2]", null=b"null", deep=b"["*100_000, binary=bytes(range(256)), no_preset=dict(preset=None), preset_list=dict(preset=["tiny"]), preset_typo=dict(preset="tinny"),
               epochs_words=dict(epochs="many"), epochs_half=dict(epochs=2.5), lr_nan=dict(lr=float("nan")), lr_infinite=dict(lr=float("inf")), seed_negative=dict(seed=-1), seed_huge=dict(seed=1 << 64), dim_huge=dict(latent_dim=10**9), network=dict(network=["objects"]),
               corpus_number=dict(corpus=7), hash_gone=dict(corpus_sha256=None), hash_number=dict(corpus_sha256=1), another_hash=dict(corpus_sha256="0"*64), beta=dict(beta_final="x"), batch_0=dict(batch_size=0), id_gone=dict(wandb_id=None))


@pytest.mark.parametrize("name", CONFIGS)
def test_bad_configs(run, tmp_path, name):
    "Going on with a run, and evaluating it, from a config.json that is not as it was written."
    from arc_vae.evaluate import run_corpus
    from arc_vae.train import train
    copy, bad = tmp_path/"run", CONFIGS[name]
    shutil.copytree(run, copy)
    config = json.loads((copy/"config.json").read_text()) | dict(corpus=str(run.parent/"corpus"/"atomic-300-seed0.npz"))
    (copy/"config.json").write_bytes(bad if isinstance(bad, bytes) else json.dumps({k: v for k, v in (config | bad).items() if v is not None}).encode())
    before = contents(copy)
    with pytest.raises((RunError, ConfigError, DatasetError)) as refused: train(resumed_config(copy), copy, resume=True, say=lambda line: None)
    assert len(str(refused.value)) < 600 and "\n" not in str(refused.value)
    assert contents(copy) == before, "nothing was overwritten"
    if isinstance(bad, bytes) or "corpus" in name or "hash" in name or "id" in name.split("_"):
        with pytest.raises((RunError, DatasetError)): run_corpus(*read_run(copy, "config"))


anything = st.one_of(st.none(), st.booleans(), st.integers(-10, 10), st.integers(-10**40, 10**40), st.floats(), st.text(max_size=12), st.sampled_from(("auto", "cpu", "1e3", "nan", "true", "objects", "offline", "10", " 7 ")), st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))


@relaxed
@given(preset=st.one_of(st.sampled_from(list(PRESETS)), anything), changes=st.dictionaries(st.sampled_from([*(f for f in TrainConfig.__dataclass_fields__ if f != "preset"), "epoch", "beta"]), anything, max_size=5))
def test_any_parameters(preset, changes):
    "Settings are as they should be, or one ConfigError says which is not."
    try: cfg = make_config(preset, **changes)
    except ConfigError as e: assert str(e) and "\n" not in str(e).replace("\\n", "")
    else:
        assert all(type(getattr(cfg, name)) is type(field.default) for name, field in TrainConfig.__dataclass_fields__.items())
        assert cfg.epochs >= 1 and 1 <= cfg.latent_dim <= 1000 and 0 <= cfg.lr < float("inf") and cfg.network in ("reference", "objects", "objects_fine", "objects_small")


def test_damaged_arrays(run, tmp_path):
    (tmp_path/"evaluation.npz").write_bytes(b"PK\3\4 no")
    with pytest.raises(RunError, match="evaluation.npz: cannot be read"): read_arrays(tmp_path, "evaluation", "evaluate")
    np.savez(tmp_path/"latent.npz", pca=np.array([Payload()], dtype=object))
    with pytest.raises(RunError, match="latent.npz: cannot be read"): read_arrays(tmp_path, "latent", "evaluate")


def test_one_line_on_the_command_line(run, tmp_path):
    "The same through the command: exit code 1, one line, no traceback."
    (tmp_path/"outputs").mkdir()
    shutil.copytree(run, tmp_path/"outputs"/"r")
    (tmp_path/"outputs"/"r"/"config.json").write_text("{")
    np.savez(tmp_path/"outputs"/"black.npz", **dict.fromkeys(("train", "val", "test"), np.zeros((20, 16, 16), np.uint8)))
    for words in (("train", "--resume", "r"), ("verify", "--run", "r"), ("evaluate", "--run", "r"), ("train", "--preset", "tiny", "--set", "seed=1e99"), ("train", "--corpus", "x"*300), ("corpus", "check", tmp_path), ("run", "--corpus", "outputs/black.npz", "--run", "b")):
        done = command("arc-vae", *words, cwd=tmp_path)
        assert (words[0] == "verify") == (done.returncode == 0) and "Traceback" not in done.stdout, done.stdout
        assert done.returncode == 0 or done.stdout.splitlines()[-1 if words[0] == "evaluate" else 0].startswith(("Error: ", "(the traceback")), done.stdout


def test_nothing_trusts_a_file():
    "No pickle is ever loaded."
    import arc_vae
    folder = os.path.dirname(arc_vae.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            with open(os.path.join(folder, name)) as f: text = f.read()
            assert not any(word in text for word in ("weights_only=False", "allow_pickle=True", "pickle.load")), name


def test_sockets_are_no_corpora(tmp_path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path/"s.npz"))
        with pytest.raises(DatasetError, match="no file"): load_corpus(tmp_path/"s.npz")
