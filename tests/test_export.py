"""Both halves as graphs of fixed shape, ONNX beside PyTorch, and folders in the layout of the Hugging Face Hub."""
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import ROOT
from huggingface_hub import ModelCard
from safetensors import safe_open

import arc_vae
from arc_vae.infra.logging import quiet
from arc_vae.apps.export import _examples, export_run, from_pretrained, save_pretrained, to_onnx, write_page
from arc_vae.corpus.generator import make_grids
from arc_vae.corpus.objects import find_objects
from arc_vae.infra.checkpoint import CheckpointError, save_checkpoint
from arc_vae.code.dense import dense_labels
from arc_vae.code.network import labels_of, make_vae
from arc_vae.infra.runs import read_json

SEEN = torch.from_numpy(make_grids(150, seed=8)[0])


def odd_grids():
    "What no generator draws: noise, one object as long as can be, black, full, checkered, equals."
    noise = torch.randint(10, (60, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    noise[30:] *= noise[30:] > 7
    snake = torch.zeros(4, 16, 16, dtype=torch.uint8)
    snake[0, ::2] = 3
    for row in range(1, 16, 2): snake[0, row, -1 if row%4 == 1 else 0] = 3
    snake[1] = snake[0].T
    snake[2] = snake[0].flip(1)
    snake[3, ::2, ::2] = 5  # 64 objects of one cell each
    return torch.cat([noise, snake, torch.zeros(1, 16, 16).byte(), torch.full((1, 16, 16), 9).byte()])


@pytest.fixture(scope="module", params=[4, 10, 12])
def vae(request):
    vae = make_vae("objects_small", request.param)
    with quiet(): vae.fit(SEEN)
    return vae.eval()


@torch.no_grad()
def test_labels_in_tensors_of_fixed_shape_are_the_labels(vae):
    for grids in (SEEN, odd_grids()):
        fixed = dense_labels(vae.code, grids)
        labels = labels_of(vae.code, find_objects(grids, vae.code.objects), len(grids))
        for found, expected in zip(fixed[:4], labels[:4]):
            assert torch.equal(found*(fixed.color > 0), expected*(fixed.color > 0))


@pytest.fixture(scope="module")
def exported(evaluated, tmp_path_factory):
    run = shutil.copytree(evaluated, tmp_path_factory.mktemp("run")/"small")
    with quiet(): return run, export_run(run)


def test_a_run_becomes_a_folder_that_comes_back_as_the_model(exported):
    run, folder = exported
    assert {path.name for path in folder.iterdir()} == {
        "encoder.onnx", "decoder.onnx", "model.safetensors", "config.json", "README.md"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1, "who may read one may read all"
    vae, again = arc_vae.load(run), from_pretrained(folder)
    for name, tensor in vae.state_dict().items(): assert torch.equal(tensor, again.state_dict()[name]), name
    assert torch.equal(vae.decode(vae.encode(SEEN), logits=True), again.decode(again.encode(SEEN), logits=True))
    with safe_open(folder/"model.safetensors", "pt") as file:
        assert file.metadata()["network"] == "objects_small"
        for name in file.keys(): assert torch.equal(file.get_tensor(name), vae.state_dict()[name]), name
    card, test = ModelCard.load(folder/"README.md"), read_json(run/"metrics.json")["test"]
    assert (card.data.library_name, card.data.license) == ("arc_vae", "apache-2.0")
    assert f"| exact grids | {test['exact_match']:.2%} |" in card.text and "encoder.onnx" in card.text


def test_onnx_says_what_pytorch_says_for_any_batch(exported):
    run, folder = exported
    vae = arc_vae.load(run)
    for half in ("encoder", "decoder"): onnx.checker.check_model(str(folder/f"{half}.onnx"), full_check=True)
    encoder, decoder = (onnxruntime.InferenceSession(folder/f"{half}.onnx") for half in ("encoder", "decoder"))
    for n in (1, 2, 33, 150):
        mu, logvar = encoder.run(None, dict(grids=SEEN[:n].numpy()))
        assert mu.shape == logvar.shape == (n, 10)
        assert (np.abs(mu - vae.encode(SEEN[:n]).numpy()).max(1) < 1e-4).mean() > .97
        (logits,) = decoder.run(None, dict(z=mu))
        assert np.abs(logits - vae.decode(mu, logits=True).numpy()).max() < 1e-3
        assert np.array_equal(logits.argmax(1), vae.decode(mu).numpy())


def test_the_model_that_ships_and_the_reference_can_be_saved(tmp_path):
    for vae in (arc_vae.load(ROOT/"benchmarks"/"results"/"default-seed0.pth"), make_vae("reference").eval()):
        again = from_pretrained(save_pretrained(vae, tmp_path/vae.network))
        assert torch.equal(again.decode(again.encode(SEEN)), vae.decode(vae.encode(SEEN)))
    assert "It has not been evaluated." in (tmp_path/"reference"/"README.md").read_text()
    assert "onnx" not in (tmp_path/"reference"/"README.md").read_text()


def test_a_network_that_keeps_sizes_becomes_a_folder(tmp_path):
    vae = make_vae("objects_canvas", 12)
    grids = _examples(vae.pad, 200)
    with quiet(): vae.fit(grids)
    to_onnx(vae.eval(), tmp_path, grids[:64])  # compares grid by grid
    again = from_pretrained(save_pretrained(vae, tmp_path))
    assert torch.equal(again.encode(grids, check=False), vae.encode(grids, check=False))
    card = (tmp_path/"README.md").read_text()
    assert "of at most 16x16 cells" in card and "(N, 11, 16, 16)" in card and "crop=True" in card


@pytest.mark.parametrize("file, content", [
    ("config.json", "[]"), ("config.json", '{"network": "nobody\'s", "latent_dim": 10}'), ("model.safetensors", "x"),
    ("config.json", '{"network": "reference", "latent_dim": 11}')])
def test_a_damaged_folder_is_one_line(tmp_path, file, content):
    folder = save_pretrained(make_vae("reference"), tmp_path/"saved")
    (folder/file).write_text(content)
    with pytest.raises(CheckpointError) as error: from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_every_number_of_numbers():
    "Encoder, decoder, axes and operators for every length of a code."
    for d in range(3, 65):
        vae = make_vae("objects_small", d)  # of rectangles alone: to fit 62 codebooks would take minutes
        z, sd = vae.encode(SEEN[:20], scales=True, check=False)
        assert z.shape == sd.shape == (20, d) and [axis.index for axis in vae.axes] == list(range(d))
        assert {axis.object for axis in vae.axes} - {None} == set(range(d//3))
        assert sum(axis.what == "unused" for axis in vae.axes) == max(0, d%3 - d//3)
        back = vae.decode(z)
        again = vae.encode_objects(vae.decode_objects(z), len(z))
        assert torch.equal(vae.decode(again), back), d
        moved = arc_vae.move(vae, arc_vae.move(vae, z, down=5), down=-5)
        assert torch.equal(vae.decode(moved), back), d


@pytest.mark.parametrize("d", [3, 6, 10, 61])
def test_a_code_of_any_length_is_saved_and_shown(tmp_path, d):
    vae = make_vae("objects_small", d)
    again = from_pretrained(save_pretrained(vae, tmp_path))
    assert torch.equal(again.decode(again.encode(SEEN[:20])), vae.decode(vae.encode(SEEN[:20])))
    page = write_page(save_checkpoint(tmp_path/"a.pth", "vae", vae), tmp_path/"page.html")
    assert page.read_text(encoding="utf-8").count('"index":') >= d
