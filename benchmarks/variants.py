"""Networks that were tried and not taken, for quality.py: import this before arc_vae.train, which learns the names of networks when it is imported."""
import torch
from torch import nn

from arc_vae.data import GRID, N_COLORS
from arc_vae.dials import CLASS
from arc_vae.model import NETWORKS, gaussian_heads, objects


class Residual(nn.Module):
    "A layer that adds to what it is given."
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x): return x + self.net(x)


class SumEncoder(nn.Module):
    "A vector for each color in each cell, summed over the colored cells, then a residual network: knows nothing of objects."
    def __init__(self, latent_dim, width=128):
        super().__init__()
        self.cells = nn.EmbeddingBag(GRID*GRID*N_COLORS, width, mode="sum")
        self.net = nn.Sequential(Residual(width), Residual(width), nn.LayerNorm(width), nn.Linear(width, 2*latent_dim))

    def forward(self, x):
        grid, at = (x.flatten(1) > 0).nonzero().T
        offsets = torch.searchsorted(grid, torch.arange(len(x), device=x.device))
        return gaussian_heads(self.net(self.cells(at*N_COLORS + x.flatten(1)[grid, at].long(), offsets)))


class SeparableDecoder(nn.Module):
    "A sum of pictures that are a color times a column of rows times a row of columns."
    def __init__(self, latent_dim, width=128, pictures=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latent_dim, width), Residual(width), Residual(width), nn.LayerNorm(width), nn.Linear(width, pictures*(N_COLORS + 2*GRID)))
        self.bias = nn.Parameter(torch.tensor([5.] + [0.]*(N_COLORS - 1))[:, None, None].repeat(1, GRID, GRID))

    def forward(self, z):
        color, row, column = self.net(z).unflatten(1, (-1, N_COLORS + 2*GRID)).split((N_COLORS, GRID, GRID), 2)
        return torch.einsum("bkc,bky,bkx->bcyx", color, row, column) + self.bias


NETWORKS.update(
    separable=lambda d: (SumEncoder(d), SeparableDecoder(d)),
    one_variant=objects(variants=1),    # shape numbers that say nothing
    four_variants=objects(variants=4),
    bold=objects(caution=1.),           # variants pay what their share says
    **{f"widest_{w}": objects(widest=w) for w in (1, 1.3, 1.6, 2, 3, 100)},  # how wide needles may be; 100 is as wide as they like
    every_height=objects(classes=(torch.arange(17) - 1).clamp(min=0)),  # a face of the column dial for each height: exact shares, costly misreadings
    two_heights=objects(classes=(CLASS > 0).long()),                    # lines, and everything else
    one_height=objects(classes=torch.zeros_like(CLASS)))
