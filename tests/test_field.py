"""Faults that people met elsewhere: pipes that know no β, foreign kernels, hosts without a name, cores of others."""
import ast
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT, command

import arc_vae
from arc_vae.apps.cli import main
from arc_vae.code.network import make_vae
from arc_vae.corpus.formats import save_corpus
from arc_vae.corpus.generator import make_grids
from arc_vae.infra.files import write_atomic
from arc_vae.infra.runs import ConfigError, pick_device
from arc_vae.training.settings import make_config, resumed_config
from arc_vae.train import small_run, train

PACKAGE = [path for path in Path(arc_vae.__file__).parent.rglob("*.py") if path.name != "_modidx.py"]


def calls():
    "Every call in the package, with the name called, its keywords, and where it is."
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call): continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            keywords = {keyword.arg for keyword in node.keywords}
            yield node, name, keywords, f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def opens_text(node, name, keywords):
    "Whether a call reads or writes text: a file's, or that of another process."
    if name in ("read_text", "write_text", "fdopen"): return True
    if keywords & {"text", "universal_newlines"} and name != "dict": return True
    builtin = name == "open" and isinstance(node.func, ast.Name)  # those of zipfile, os and PIL give bytes
    return builtin and "b" not in "".join(ast.literal_eval(argument) for argument in node.args[1:2])


def test_no_text_is_opened_without_an_encoding():
    opening = [where for node, name, keywords, where in calls()
               if opens_text(node, name, keywords) and "encoding" not in keywords]
    assert opening == []


def test_no_json_may_hold_nan():
    "`as_json` is the one place that writes JSON."
    dumping = [where for _, name, _, where in calls() if name in ("dump", "dumps")]
    assert len(dumping) == 1 and "allow_nan=False" in dumping[0]


@pytest.mark.parametrize("environment", [
    dict(PYTHONIOENCODING="cp1252"), dict(LC_ALL="C", PYTHONUTF8="0"), dict(PYTHONIOENCODING="ascii")], ids=str)
def test_a_pipe_that_knows_no_beta_gets_a_question_mark(tmp_path, environment):
    done = command("arc-vae", "sweep", "--help", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
    assert "Train and evaluate over ? and seeds" in done.stdout.replace("β", "?")


# Somebody else's kernel, package, temporary folder

@pytest.fixture
def foreign(tmp_path):
    "A kernel called python3 that is none, on JUPYTER_PATH, and a package arc_vae that is none, on PYTHONPATH."
    kernel = tmp_path/"jupyter"/"kernels"/"python3"/"kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps(dict(argv=["false"], display_name="foreign", language="python")), encoding="utf-8")
    package = tmp_path/"elsewhere"/"arc_vae"/"__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("raise ImportError('another arc_vae')", encoding="utf-8")
    return dict(JUPYTER_PATH=str(kernel.parents[2]), PYTHONPATH=str(package.parents[1]))


ODD = "-{seed} a}b [x] %20%s # & 'q' \"d\" <b> $HOME"


def test_a_training_goes_through_where_kernel_package_folder_and_encoding_are_odd(tmp_path, foreign):
    "The kernel is this Python with this package; sockets have short names; no β is lost; no name is a template."
    (tmp_path/ODD).mkdir()
    save_corpus(tmp_path/ODD/f"{ODD}.npz", make_grids(100)[0])
    long = tmp_path/("x"*90)
    long.mkdir()
    environment = dict(foreign, TMPDIR=str(long), PYTHONIOENCODING="cp1252", LC_ALL="C", PYTHONUTF8="0")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import arc_vae.apps.cli; arc_vae.apps.cli.main()"
    words = ("train", "--preset", "tiny", f"--corpus={ODD}.npz", "--set", "epochs=1", "--run", "r"*200)
    done = command("python", "-c", code, *words, cwd=tmp_path/ODD, env=environment)
    assert done.returncode == 0 and "W&B failed" not in done.stdout, done.stdout
    assert "epoch  1/1  ? 1.00" in done.stdout
    assert (tmp_path/ODD/"outputs"/("r"*200)/"02_train.ipynb").exists()
    assert list(long.glob("arc-vae*")) == []


def test_the_explorer_opens_on_this_python_and_hands_options_to_jupyter(tmp_path, foreign):
    from jupyter_client.kernelspec import KernelSpecManager

    from arc_vae.apps.run import lab_server, own_kernel
    from arc_vae.infra.runs import RunError
    before = dict(os.environ)
    try:
        os.environ.update(foreign)
        assert KernelSpecManager().get_kernel_spec("python3").argv == ["false"]
        os.environ.update(own_kernel(tmp_path/"own"))
        assert KernelSpecManager().get_kernel_spec("python3").argv[0] == sys.executable
        assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(ROOT), foreign["PYTHONPATH"]]
    finally:
        os.environ.clear()
        os.environ.update(before)
    with pytest.raises(RunError, match="did not start"):
        with lab_server(tmp_path, ("--version",)): pass


# Words on the command line

def test_a_run_that_stopped_early_says_why_more_epochs_change_nothing(tmp_path, capsys):
    run = small_run(tmp_path/"r", n_corpus=100, epochs=5, beta_final_epoch=1, patience=1, lr=0, lr_final=0,
                    network="reference")
    summary = train(resumed_config(run, epochs=9), run, resume=True)
    assert summary["status"] == "early_stopped"
    assert ("note: not trained any further, the objective was not better for 1 epochs; "
            "more patience goes on, --set patience=2") in capsys.readouterr().out
    assert train(resumed_config(run, patience=2), run, resume=True)["epochs"] > summary["epochs"]


def test_a_gpu_has_a_number_and_goes_by_one_name(tmp_path, monkeypatch):
    assert make_config(device="cuda:1").device == "cuda:1"
    with pytest.raises(ConfigError, match="'cuda:99' is not available here; available: .*cpu"): pick_device("cuda:99")
    with pytest.raises(ConfigError, match="found 'cuda:', did you mean 'cuda'"): make_config(device="cuda:")
    monkeypatch.chdir(tmp_path)
    for reason, *words in (("available: ", "evaluate", "r", "--device", "gpu"), ("'cuda'?\n", "train", "device=gpu")):
        said = CliRunner().invoke(main, words)
        assert said.exit_code == 1 and said.output.startswith("Error: device: ") and reason in said.output
    assert list(tmp_path.iterdir()) == []


# Somebody else's folder and files

def test_an_error_of_writing_names_one_file(tmp_path):
    (tmp_path/"a").mkdir()
    with pytest.raises(IsADirectoryError) as caught: write_atomic(tmp_path/"a", lambda file: file.write(b"x"))
    assert str(caught.value).endswith(f"Is a directory: {str(tmp_path/'a')!r}")


CODES = np.linspace(-1, 1, 30).reshape(3, 10)


@pytest.mark.parametrize("codes", [
    [torch.from_numpy(row).float() for row in CODES], CODES.tolist(), CODES[::-1][::-1], np.asfortranarray(CODES),
    CODES.astype(">f8"), np.repeat(CODES, 2, 1)[:, ::2]], ids=range(6))
def test_codes_may_come_as_any_numbers(codes):
    vae = make_vae("reference")
    assert torch.equal(vae.decode(codes), vae.decode(torch.from_numpy(CODES)))
    assert torch.equal(vae.decode(codes[::-1]), vae.decode(torch.from_numpy(CODES).flip(0)))


@pytest.mark.parametrize("codes", [["a"]*10, [[0.]*10, [0.]*9], [torch.zeros(10), torch.zeros(9)], None, {}], ids=str)
def test_what_is_no_code_is_said_to_be_none(codes):
    with pytest.raises(ValueError, match=r"^z: expected "): make_vae("reference").decode(codes)


def test_grids_may_come_as_any_whole_numbers():
    vae = make_vae("reference")
    grids = torch.arange(512).view(2, 16, 16)%10
    many = grids.numpy()
    kinds = [grids.half(), list(grids.half()), many.astype(">i4"), np.repeat(many, 2, 0)[::2]]
    for kind in kinds:
        assert torch.allclose(vae.encode(kind)[-1], vae.encode(grids)[-1])
