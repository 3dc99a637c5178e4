"""What networks that learn everything reach at ten numbers, beside the code: the command behind rivals.md.

    C=outputs/corpus/atomic-100000-seed0.npz
    python benchmarks/rivals.py --corpus $C --minutes 2 generic --lr 2e-3 --width 32
    python -m pip install --no-deps --target FOLDER vector-quantize-pytorch einops einx frozendict loguru
    PYTHONPATH=FOLDER python benchmarks/rivals.py --corpus $C --minutes 8 fsq
    python benchmarks/rivals.py                     # the table and assets/rivals.png

`generic` is a beta-VAE with Gaussian posteriors, `fsq` quantizes to ten numbers of 25 levels (32.2 nats),
`distilled` learns from the code of benchmarks/results/default-seed0.pth for a while and then goes on alone,
`reference` is the network of the specification. All see fresh grids; beta is 0 for a share --free of the time, rises
to --beta until the share --ramp, and stays. Every run appends a line to rivals.jsonl. Minutes are those that one core
spends on training alone.
"""
import argparse
import itertools
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from arc_vae.code.network import load, make_vae
from arc_vae.corpus.formats import arc_grids, load_corpus
from arc_vae.corpus.generator import fresh_grids
from arc_vae.corpus.objects import find_objects, paint
from arc_vae.data import N_COLORS, new_figure, rng
from arc_vae.metrics.accuracy import accuracies, count_correct
from arc_vae.metrics.labels import markdown_table
from arc_vae.metrics.likelihood import decode_split
from arc_vae.metrics.operators import N_MEASURED, OPERATORS, fit_operator, measure_equivariance, noise_metrics
from arc_vae.model import VAE, Gaussian, distortion, encode_decode, gaussian_heads, one_hot
from arc_vae.train import loss_terms

HERE = Path(__file__).parent
LOG = HERE/"rivals.jsonl"
CODE = HERE/"results"/"default-seed0.pth"
LEVELS = 25   # of each quantized number: ten of them are 32.2 nats
LOOKS = 20    # at the validation split
HEADINGS = ("", "parameters", "CPU s", "D", "R", "D + 2R", "elbo", "last fifth", "cells", "colored", "exact", "moves",
            "noise .02", "real: colored", "exact")


class Residual(nn.Module):
    "What `inner` makes of the normalized input is added to the input."
    def __init__(self, norm, *inner):
        super().__init__()
        self.inner = nn.Sequential(norm, *inner)
        nn.init.zeros_(inner[-1].weight)

    def forward(self, x): return x + self.inner(x)


def dense(width):
    "A residual block of two linear layers."
    return Residual(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


def conv(width):
    "A residual block of two convolutions."
    first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    return Residual(nn.GroupNorm(1, width), first, nn.GELU(), second)


class Encoder(nn.Module):
    "Grids to 2d numbers: residual convolutions on 8x8 places, then residual linear layers."
    def __init__(self, d, width, hidden, blocks):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(N_COLORS, width, 4, 2, 1), *(conv(width) for _ in range(2)), nn.Flatten(),
            nn.Linear(64*width, hidden), *(dense(hidden) for _ in range(blocks)),
            nn.LayerNorm(hidden), nn.Linear(hidden, 2*d))

    def forward(self, x): return gaussian_heads(self.net(one_hot(x)))


class Waves(nn.Module):
    "Numbers beside sines and cosines of them, for what changes quickly from one number to the next."
    def __init__(self, octaves):
        super().__init__()
        self.octaves = octaves

    def forward(self, z):
        phase = z[..., None]*math.pi*2.**torch.arange(-1, self.octaves - 1)
        return torch.cat([z[..., None], phase.sin(), phase.cos()], -1).flatten(1)


class Decoder(nn.Module):
    "Numbers to logits: residual linear layers, then residual convolutions on 8x8 places."
    def __init__(self, d, width, hidden, blocks, octaves):
        super().__init__()
        places = (nn.Linear(hidden, 64*width), nn.Unflatten(1, (width, 8, 8)), conv(width), conv(width),
                  nn.GroupNorm(1, width), nn.ConvTranspose2d(width, N_COLORS, 4, 2, 1))
        with torch.no_grad(): places[-1].bias.copy_(torch.tensor([.93] + [.07/9]*9).log())
        self.net = nn.Sequential(Waves(octaves), nn.Linear(d*(1 + 2*octaves), hidden),
                                 *(dense(hidden) for _ in range(blocks)), nn.LayerNorm(hidden), *places)

    def forward(self, z): return self.net(z)


class Levels(Gaussian):
    "Numbers without noise, each one of 25; they cost what counting their levels says."
    def __init__(self, cost): self.cost = cost

    def draw(self, mu, level, noise): return mu
    def kl(self, mu, level): return self.cost.gather(1, level.T.long()).T


class Quantized(VAE):
    "Ten numbers of 25 levels each: finite scalar quantization (Mentzer et al. 2023)."
    def __init__(self, encoder, decoder, d):
        from vector_quantize_pytorch import FSQ
        super().__init__(encoder, decoder, d, "fsq")
        self.quantizer = FSQ([LEVELS]*d, return_indices=False)
        self.register_buffer("cost", torch.full((d, LEVELS), math.log(LEVELS)))

    @property
    def family(self): return Levels(self.cost)

    def posterior(self, x):
        z = self.quantizer(self.encoder(x)[0][:, None])[0][:, 0]
        return z, self.level_of(z)

    def level_of(self, z): return ((z + 1)*(LEVELS - 1)/2).round().clamp(0, LEVELS - 1)

    def logits(self, z):  # rounded once more, so that noise has to reach another level
        z = z + (2*self.level_of(z)/(LEVELS - 1) - 1 - z).detach()
        return self.decoder(z*math.sqrt(3))

    @torch.no_grad()
    def refit(self, grids):
        level = torch.cat([self.posterior(x)[1] for x in grids.split(1000)]).long()
        count = torch.stack([torch.bincount(each, minlength=LEVELS) for each in level.T]) + 1.
        self.cost.copy_(-(count/count.sum(1, keepdim=True)).log())


def make_rival(args):
    "A network that knows nothing of objects."
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    if args.kind == "reference": return make_vae("reference", args.latent_dim, args.seed)
    d = args.latent_dim
    halves = (Encoder(d, args.width, args.hidden, args.blocks),
              Decoder(d, args.width, args.hidden, args.blocks + 1, args.octaves))
    vae = (Quantized if args.kind == "fsq" else VAE)(*halves, d)
    return vae.to(memory_format=torch.channels_last)


def lesson(vae, teacher, x):
    "What the code says of these grids: its samples for the encoder, the grids that belong to them for the decoder."
    with torch.no_grad():
        mean, spread = teacher.posterior(x)
        z = teacher.family.draw(mean, spread, torch.randn_like(mean))
    mu, logvar = vae.posterior(x)
    return distortion(vae.logits(z), x) + ((z - mu).square()*(-logvar).exp() + logvar).sum(1)/2


def moved_distortion(vae, x):
    "Nats of grids moved one cell by the code's constant, where they have room."
    name = random.choice(("right", "left", "up", "down"))
    x = x[OPERATORS[name].fits(x)]
    step = torch.zeros(10)
    step[[0, 3, 6] if name in ("up", "down") else [1, 4, 7]] = .25 if name in ("right", "down") else -.25
    mu, logvar = vae.posterior(x)
    z = vae.family.draw(mu, logvar, torch.randn_like(mu))
    return distortion(vae.logits(z + step), OPERATORS[name].on_grids(x))


def look(vae, grids, seconds):
    "Figures of the validation split, D + 2R whatever beta is now."
    out = encode_decode(vae, grids, rng("validate", 0))
    d, r = (out[name].double().mean().item() for name in ("distortion", "rate"))
    found = accuracies(count_correct(out["pred"], grids))
    return dict(seconds=seconds, distortion=d, rate=r, objective=d + 2*r, colored=found["foreground_accuracy"],
                exact=found["exact_match"])


def fresh_batches(size, seed):
    "Batches of grids that were never drawn before."
    for epoch in itertools.count():
        yield from torch.from_numpy(fresh_grids(50_000, seed, epoch)).split(size)


def train(vae, corpus, args):
    "Train for args.minutes; a list of looks."
    teacher = load(CODE) if args.kind == "distilled" else None
    opt = torch.optim.AdamW(vae.parameters(), args.lr, (.9, .99), weight_decay=1e-2, fused=True)
    batches = fresh_batches(args.batch, args.seed)
    limit, spent, steps, course = 60*args.minutes, 0., 0, []
    while True:
        if spent >= len(course)*limit/LOOKS or spent >= limit:
            vae.eval().refit(corpus.train[:20_000])
            course.append(look(vae, corpus.val[:1000], spent) | dict(steps=steps))
            print(args.name, {name: round(value, 3) for name, value in course[-1].items()}, flush=True)
            if spent >= limit: return course
            vae.train()
        start, done = time.process_time(), spent/limit
        beta = float(np.interp(done, [args.free, max(args.ramp, args.free + 1e-6)], [0, args.beta]))
        opt.param_groups[0]["lr"] = args.lr*min(1, (steps + 1)/args.warm_up)*(.01 + .99*(1 + math.cos(math.pi*done))/2)
        x = next(batches)
        if teacher and done < args.teach: loss = lesson(vae, teacher, x).mean()
        else:
            d, r = loss_terms(vae, x, torch.randn(len(x), vae.latent_dim))
            loss = (d + beta*r).mean()
            if args.equivariance: loss = loss + args.equivariance*moved_distortion(vae, x).mean()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), args.clip)
        opt.step()
        steps += 1
        spent += time.process_time() - start


def judge(vae, corpus):
    "Figures of the test split and of real grids."
    def shares(pred, x):
        found = accuracies(count_correct(pred, x))
        return dict(cells=found["pixel_accuracy"], colored=found["foreground_accuracy"], exact=found["exact_match"])
    out, x = decode_split(vae, corpus.test), corpus.test
    d, r = (out[name].double().mean().item() for name in ("distortion", "rate"))
    figures = dict(distortion=d, rate=r, objective=d + 2*r, elbo=-d - r) | shares(out["pred"], x)
    right, few = OPERATORS["right"], [part[:N_MEASURED] for part in (x, out["mu"], out["pred"])]
    on_codes = fit_operator(vae, right, corpus.val[:N_MEASURED])
    colored = (few[2] > 0).flatten(1).any(1)  # a black picture would move exactly
    moved = measure_equivariance(vae, right, on_codes, *(part[colored] for part in few), times=1)
    figures |= dict(move=moved["equivariance"], move_colored=moved["colored"], move_n=moved["n"])
    figures["noise"] = noise_metrics(vae, *few)["0.02"]
    found = find_objects(x, 4)
    parts = [paint(found.keep(found.slot == slot), len(x)) for slot in range(4)]  # largest first
    figures["objects"] = [((out["pred"] == part) & (part > 0)).sum().item()/(part > 0).sum().item() for part in parts]
    real = arc_grids("evaluation")
    return figures | {f"real_{name}": share for name, share in shares(vae.reconstruct(real), real).items()}


def row(record):
    "A run's row of the table."
    test, course, name = record["test"], record["course"], record["settings"]["name"]
    def figure(key): return "" if test.get(key) is None else f"{test[key]:.1f}"
    def share(key): return "" if test.get(key) is None else f"{100*test[key]:.1f} %"
    seconds = fell = ""
    if course:
        seconds = f"{course[-1]['seconds']:.0f}"
        fell = f"{course[-1]['objective'] - course[-1 - LOOKS//5]['objective']:+.1f}"
    return (name, f"{record['parameters']:,}", seconds, *map(figure, ("distortion", "rate", "objective", "elbo")), fell,
            *map(share, ("cells", "colored", "exact", "move")), figure("noise"),
            *map(share, ("real_colored", "real_exact")))


def draw(records):
    "The curves of all runs in assets/rivals.png."
    figure = new_figure(9, 3.6)
    panels = figure.subplots(1, 2)
    for ax, name, label in zip(panels, ("objective", "colored"), ("D + 2R, nats a grid", "colored cells right")):
        for each in records:
            course = [point for point in each["course"] if point["seconds"] > 0]
            x, y = [point["seconds"] for point in course], [point[name] for point in course]
            if course: ax.plot(x, y, label=each["settings"]["name"], linewidth=1.2)
            else: ax.axhline(each["test"][name], color="black", linestyle=":", linewidth=1, label="the code")
        ax.set(xlabel="CPU seconds of training", ylabel=label)
    panels[0].set_ylim(70, 140)
    panels[1].legend(fontsize=7)
    figure.savefig(HERE.parent/"assets"/"rivals.png", dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("code", "generic", "fsq", "distilled", "reference"))
    parser.add_argument("--corpus", default="outputs/corpus/atomic-100000-seed0.npz")
    parser.add_argument("--name", help="what the line is called (default: the kind)")
    for name, default in dict(minutes=2., lr=2e-3, free=.3, ramp=.7, beta=2., teach=.5, clip=100.,
                              equivariance=0.).items():
        parser.add_argument(f"--{name}", type=float, default=default)
    for name, default in dict(latent_dim=10, width=16, hidden=256, blocks=2, octaves=0, batch=64, warm_up=200,
                              seed=0).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--save", help="file for the weights")
    args = parser.parse_args()
    if not args.kind:
        records = [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]
        draw([each for each in records if not each["settings"]["name"].startswith("try")])
        return print(markdown_table([HEADINGS, *map(row, records)]))
    args.name = args.name or args.kind
    corpus = load_corpus(args.corpus)
    vae, course = (load(CODE), []) if args.kind == "code" else (make_rival(args), [])
    if args.kind != "code": course = train(vae, corpus, args)
    if args.save: torch.save(vae.state_dict(), args.save)
    n = sum(p.numel() for p in vae.parameters())
    record = dict(settings=vars(args), parameters=n, course=course, test=judge(vae.eval(), corpus))
    print(json.dumps(record["test"]))
    with LOG.open("a", encoding="utf-8") as file: file.write(json.dumps(record) + "\n")


if __name__ == "__main__": main()
