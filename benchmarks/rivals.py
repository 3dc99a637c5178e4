"""What networks that learn everything reach at ten numbers, beside the code: the command behind rivals.md.

    python benchmarks/rivals.py generic --minutes 60 --octaves 3 --blocks 3
    PYTHONPATH=FOLDER python benchmarks/rivals.py fsq       # FOLDER with vector-quantize-pytorch, see rivals.md
    python benchmarks/rivals.py                             # the tables and assets/rivals.png

`generic` is a beta-VAE with Gaussian posteriors, `fsq` quantizes to ten numbers of 25 levels (32.2 nats),
`distilled` learns from the code of --code for a while and then goes on alone, `reference` is the network of the
specification. All see fresh grids, or with --own those of the corpus; beta is 0 for a share --free of the time, rises
to --beta until the share --ramp, and stays. A run appends a line to rivals.jsonl. Minutes are of one core in training.
"""
import argparse
import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from torch import nn

from arc_vae.code.network import load, make_vae
from arc_vae.corpus.formats import arc_grids, load_corpus
from arc_vae.corpus.generator import fresh_grids
from arc_vae.corpus.objects import find_objects, paint
from arc_vae.data import N_COLORS, new_figure, rng
from arc_vae.metrics.accuracy import accuracies, count_correct
from arc_vae.metrics.labels import markdown_table
from arc_vae.metrics.operators import N_MEASURED, OPERATORS, fit_operator, measure_equivariance, noise_metrics
from arc_vae.model import VAE, Gaussian, distortion, encode_decode, gaussian_heads, one_hot
from arc_vae.train import loss_terms

HERE = Path(__file__).parent
LOG = HERE/"rivals.jsonl"
CODE = HERE/"results"/"default-seed0.pth"
LEVELS = 25   # of each quantized number: ten of them are 32.2 nats
LOOKS = 20    # at the validation split
HEADINGS = ("", "numbers stored", "CPU s", "D", "R", "D + 2R", "elbo", "last fifth", "cells", "colored", "exact",
            "moves", "moves: colored", "noise .02", "real: D + 2R", "real: colored", "real: exact")


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
    "Grids to 2d numbers: residual linear layers, before them convolutions on 8x8 places if they have a width."
    def __init__(self, d, width, hidden, blocks):
        super().__init__()
        places = [nn.Flatten(), nn.Linear(256*N_COLORS, hidden)]
        if width: places = [nn.Conv2d(N_COLORS, width, 4, 2, 1), conv(width), conv(width), *places]
        if width: places[-1] = nn.Linear(64*width, hidden)
        self.net = nn.Sequential(*places, *(dense(hidden) for _ in range(blocks)), nn.LayerNorm(hidden))
        self.heads = nn.Linear(hidden, 2*d)

    def forward(self, x):
        hidden = self.net(one_hot(x)).float()
        with torch.autocast("cpu", enabled=False): return gaussian_heads(self.heads(hidden))


def with_waves(z, octaves):
    "Numbers beside sines and cosines of them, for what changes quickly from one number to the next."
    phase = z[..., None]*math.pi*2.**torch.arange(-1, octaves - 1)
    return torch.cat([z[..., None], phase.sin(), phase.cos()], -1).flatten(1)


class Decoder(nn.Module):
    "Numbers to logits: residual linear layers, after them convolutions on 8x8 places if they have a width."
    def __init__(self, d, width, hidden, blocks, octaves):
        super().__init__()
        self.octaves, self.first = octaves, nn.Linear(d*(1 + 2*octaves), hidden)
        places = [nn.Linear(hidden, 256*N_COLORS), nn.Unflatten(1, (N_COLORS, 16, 16))]
        if width: places = [nn.Linear(hidden, 64*width), nn.Unflatten(1, (width, 8, 8)), conv(width), conv(width),
                            nn.GroupNorm(1, width), nn.ConvTranspose2d(width, N_COLORS, 4, 2, 1)]
        self.net = nn.Sequential(*(dense(hidden) for _ in range(blocks)), nn.LayerNorm(hidden), *places)
        self.share = nn.Parameter(torch.tensor([.93] + [.07/9]*9).log()[:, None, None])  # of each color, to begin with

    def forward(self, z):
        with torch.autocast("cpu", enabled=False): hidden = self.first(with_waves(z, self.octaves))
        return self.net(hidden).float() + self.share


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
    if args.kind == "reference": return make_vae("reference", args.latent_dim, args.seed)
    d = args.latent_dim
    halves = (Encoder(d, args.width, args.hidden, args.blocks),
              Decoder(d, args.width, args.hidden, args.blocks + 1, args.octaves))
    return (Quantized if args.kind == "fsq" else VAE)(*halves, d).to(memory_format=torch.channels_last)


def lesson(vae, teacher, x):
    "What the code says of these grids: its samples for the encoder, the grids that belong to them for the decoder."
    with torch.no_grad():
        mean, spread = teacher.posterior(x)
        z = teacher.family.draw(mean, spread, torch.randn_like(mean))
    mu, logvar = vae.posterior(x)
    return distortion(vae.logits(z), x) + ((z - mu).square()*(-logvar).exp() + logvar).sum(1)/2


def moved_distortion(vae, x):
    "Nats of grids moved one cell by the code's constant, where they have room."
    name = ("right", "left", "up", "down")[torch.randint(4, ()).item()]
    x = x[OPERATORS[name].fits(x)]
    step = torch.zeros(10)
    step[[0, 3, 6] if name in ("up", "down") else [1, 4, 7]] = .25 if name in ("right", "down") else -.25
    mu, logvar = vae.posterior(x)
    z = vae.family.draw(mu, logvar, torch.randn_like(mu))
    return distortion(vae.logits(z + step), OPERATORS[name].on_grids(x))


def loss_of(vae, teacher, x, beta, args):
    "Nats a grid: what the teacher says while there is one, then distortion + beta*rate."
    if teacher: return lesson(vae, teacher, x).mean()
    d, r = loss_terms(vae, x, torch.randn(len(x), vae.latent_dim))
    loss = (d + beta*r).mean()
    if args.equivariance: loss = loss + args.equivariance*moved_distortion(vae, x).mean()
    return loss


def figures_of(vae, x, of):
    "Accuracies of the posterior mean, and nats a grid of a sample, D + 2R whatever beta is now."
    out = encode_decode(vae, x, rng(of, 0))
    d, r = (out[name].double().mean().item() for name in ("distortion", "rate"))
    found = accuracies(count_correct(out["pred"], x))
    return out, dict(distortion=d, rate=r, objective=d + 2*r, elbo=-d - r, cells=found["pixel_accuracy"],
                     colored=found["foreground_accuracy"], exact=found["exact_match"])


def batches_of(args, corpus):
    "Batches of grids that were never drawn before, or of the corpus in another order each time."
    for epoch in itertools.count():
        if args.own: x = corpus.train[torch.randperm(len(corpus.train))]
        else: x = torch.from_numpy(fresh_grids(50_000, args.seed, epoch))
        yield from x.split(args.batch)


def train(vae, corpus, args):
    "Train for args.minutes; a list of looks."
    teacher = load(args.code) if args.kind == "distilled" else None
    opt = torch.optim.AdamW(vae.parameters(), args.lr, (.9, .99), weight_decay=1e-2, fused=True)
    batches = batches_of(args, corpus)
    limit, spent, steps, course = 60*args.minutes, 0., 0, []
    while True:
        if spent >= len(course)*limit/LOOKS or spent >= limit:
            vae.eval().refit(corpus.train[:20_000])
            course.append(figures_of(vae, corpus.val[:1000], "validate")[1] | dict(seconds=spent, steps=steps))
            print(args.name, {name: round(value, 3) for name, value in course[-1].items()}, flush=True)
            if spent >= limit: return course
            vae.train()
        start, done = time.process_time(), spent/limit
        beta = float(np.interp(done, [args.free, max(args.ramp, args.free + 1e-6)], [0, args.beta]))
        opt.param_groups[0]["lr"] = args.lr*min(1, (steps + 1)/args.warm_up)*(.01 + .99*(1 + math.cos(math.pi*done))/2)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            loss = loss_of(vae, teacher if done < args.teach else None, next(batches), beta, args)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), args.clip)
        opt.step()
        steps += 1
        spent += time.process_time() - start


def judge(vae, corpus):
    "Figures of the test split and of real grids."
    x = corpus.test
    out, figures = figures_of(vae, x, "evaluate")
    right, few = OPERATORS["right"], [part[:N_MEASURED] for part in (x, out["mu"], out["pred"])]
    on_codes = fit_operator(vae, right, corpus.val[:N_MEASURED])
    colored = (few[2] > 0).flatten(1).any(1)  # a black picture would move exactly
    moved = measure_equivariance(vae, right, on_codes, *(part[colored] for part in few), times=1)
    figures |= dict(move=moved["equivariance"], move_colored=moved["colored"], move_n=moved["n"])
    figures["noise"] = noise_metrics(vae, *few)["0.02"]
    found = find_objects(x, 4)
    parts = [paint(found.keep(found.slot == slot), len(x)) for slot in range(4)]  # largest first
    figures["objects"] = [((out["pred"] == part) & (part > 0)).sum().item()/(part > 0).sum().item() for part in parts]
    _, real = figures_of(vae, arc_grids("evaluation"), "evaluate")
    return figures | {f"real_{name}": value for name, value in real.items()}


def row(record):
    "A run's row of the table."
    test, course, name = record["test"], record["course"], record["settings"]["name"]
    def figure(key): return "" if test.get(key) is None else f"{test[key]:.1f}"
    def share(key): return "" if test.get(key) is None else f"{100*test[key]:.1f} %"
    seconds = f"{course[-1]['seconds']:.0f}" if course else ""
    fell = f"{course[-1]['objective'] - course[-1 - LOOKS//5]['objective']:+.1f}" if course else ""
    return (name, f"{record['parameters']:,}", seconds, *map(figure, ("distortion", "rate", "objective", "elbo")), fell,
            *map(share, ("cells", "colored", "exact", "move", "move_colored")), figure("noise"),
            figure("real_objective"), *map(share, ("real_colored", "real_exact")))


def draw(records):
    "The curves of runs of the generated corpus in assets/rivals.png."
    figure = new_figure(10, 3.6)
    panels = figure.subplots(1, 2)
    for ax, name, label in zip(panels, ("objective", "colored"), ("D + 2R, nats a grid", "colored cells right")):
        ax.set_prop_cycle(color=colormaps["tab20"].colors)
        for each in records:
            course = [point for point in each["course"] if point["seconds"] > 0]
            x, y = [point["seconds"] for point in course], [point[name] for point in course]
            if course: ax.plot(x, y, label=each["settings"]["name"], linewidth=1.2)
            else: ax.axhline(each["test"][name], color="black", linestyle=":", linewidth=1, label="the code")
        ax.set(xlabel="CPU seconds of training", ylabel=label, xscale="log")
    panels[0].set_ylim(65, 140)
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, .5))
    figure.savefig(HERE.parent/"assets"/"rivals.png", dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("code", "generic", "fsq", "distilled", "reference"))
    parser.add_argument("--corpus", default="outputs/corpus/atomic-100000-seed0.npz")
    parser.add_argument("--name", help="what the line is called (default: the kind)")
    for name, default in dict(minutes=2., lr=1e-3, free=.1, ramp=.5, beta=2., teach=.5, clip=100.,
                              equivariance=0.).items():
        parser.add_argument(f"--{name}", type=float, default=default)
    for name, default in dict(latent_dim=10, width=0, hidden=512, blocks=2, octaves=0, batch=256, warm_up=200,
                              seed=0).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--code", default=CODE, help="weights of the code that is judged, or taught")
    parser.add_argument("--own", action="store_true", help="train on the grids of the corpus, not on fresh ones")
    parser.add_argument("--float32", action="store_true", help="not in bfloat16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.kind:
        records = [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]
        tries = [each for each in records if each["settings"]["name"].startswith("try")]
        runs = [each for each in records if each not in tries]
        draw([each for each in runs if not {"corpus", "seed"} & set(each["settings"]["name"].split())])
        short = [cells[:7] + cells[8:11] for cells in (HEADINGS, *map(row, tries))]
        return print(markdown_table([HEADINGS, *map(row, runs)]), markdown_table(short), sep="\n\n")
    args.name = args.name or args.kind
    corpus = load_corpus(args.corpus)
    vae, course = (load(args.code), []) if args.kind == "code" else (make_rival(args), [])
    if args.kind != "code": course = train(vae, corpus, args)
    n = sum(tensor.numel() for tensor in vae.state_dict().values())
    settings = vars(args) | dict(code=Path(args.code).name)
    line = json.dumps(dict(settings=settings, parameters=n, course=course, test=judge(vae.eval(), corpus)))
    with LOG.open("a", encoding="utf-8") as file: file.write(line + "\n")


if __name__ == "__main__": main()
