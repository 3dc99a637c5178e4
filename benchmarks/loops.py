"""The network of preset `reference` in two other training loops, for speed.py and time_to_quality.py.

    python -m pip install --no-deps --target FOLDER pythae==0.1.2      # then PYTHONPATH=FOLDER before a command

`loader_loop` trains as tutorials do: a Dataset that turns, recolors and one-hot encodes its grids one by one, a
DataLoader, Adam with default settings, and `.item()` after every step. `pythae_loop` is BaseTrainer with the BetaVAE of
pythae (Chadebec, Vincent & Allassonnière 2022), whose likelihood is replaced by cross-entropy over the ten colors, so
that all loops minimize the same objective. pythae is installed without its dependencies: all it needs here is there.
"""
import itertools
import random
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from arc_vae.data import N_COLORS
from arc_vae.model import gaussian_heads, one_hot


class GridDataset(Dataset):
    "One-hot grids, (10, 16, 16)."
    def __init__(self, grids, augment):
        self.grids = np.asarray(grids)
        self.augment = augment

    def __len__(self): return len(self.grids)

    def __getitem__(self, i):
        grid = self.grids[i]
        if self.augment:
            grid = np.rot90(grid, random.randrange(4))
            if random.random() < .5: grid = np.fliplr(grid)
            grid = np.concatenate([[0], 1 + np.random.permutation(N_COLORS - 1)])[grid]
        grid = torch.from_numpy(np.ascontiguousarray(grid))
        return F.one_hot(grid.long(), N_COLORS).permute(2, 0, 1).float()


def loader_loop(vae, grids, batch_size=128, augment=True):
    "A function that trains the halves of a reference network for one more epoch."
    encoder, decoder = vae.encoder.net, vae.decoder.net
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    loader = DataLoader(GridDataset(grids, augment), batch_size=batch_size, shuffle=True)

    def epoch():
        log = []
        for x in loader:
            optimizer.zero_grad()
            mu, logvar = gaussian_heads(encoder(x))
            logits = decoder(mu + torch.exp(.5*logvar)*torch.randn_like(mu))
            reconstruction = F.cross_entropy(logits, x.argmax(1), reduction="sum")/len(x)
            kl = -.5*torch.sum(1 + logvar - mu.pow(2) - logvar.exp())/len(x)
            loss = reconstruction + kl
            loss.backward()
            optimizer.step()
            log.append((loss.item(), reconstruction.item(), kl.item()))
    return epoch


def pythae_loop(vae, grids, batch_size=128, augment=True):
    "A function that trains the halves of a reference network for one more epoch; ImportError without pythae."
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def forward(self, x):
            mu, logvar = gaussian_heads(self.net(x))
            return ModelOutput(embedding=mu, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def forward(self, z): return ModelOutput(reconstruction=self.net(z))

    class ColorBetaVAE(BetaVAE):
        def loss_function(self, recon_x, x, mu, log_var, z):
            reconstruction = F.cross_entropy(recon_x, x.argmax(1), reduction="none").flatten(1).sum(1)
            kl = -.5*torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)
            return (reconstruction + self.beta*kl).mean(), reconstruction.mean(), kl.mean()

    class AugmentedDataset(GridDataset):
        def __getitem__(self, i): return DatasetOutput(data=super().__getitem__(i), labels=torch.ones(1))

    encoder, decoder = Encoder(), Decoder()
    encoder.net, decoder.net = vae.encoder.net, vae.decoder.net
    settings = BetaVAEConfig(input_dim=(N_COLORS, 16, 16), latent_dim=vae.latent_dim, beta=1.)
    model = ColorBetaVAE(settings, encoder, decoder)
    if augment: data = AugmentedDataset(grids, augment)
    else: data = BaseDataset(one_hot(torch.as_tensor(grids)).contiguous(), torch.ones(len(grids)))
    config = BaseTrainerConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch_size,
                               learning_rate=1e-3, no_cuda=True)
    trainer = BaseTrainer(model, data, training_config=config)
    trainer.prepare_training()
    epochs = itertools.count(1)
    return lambda: trainer.train_step(next(epochs))


LOOPS = dict(loader=loader_loop, pythae=pythae_loop)
