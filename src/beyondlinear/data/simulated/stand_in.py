"""A small simulation with the columns of GTEx and recount3, to try experiments before their data
are at hand."""

from typing import Annotated

import anndata as ad
import numpy as np
import pandas as pd
from pydantic import Field

from beyondlinear.data.simulated.gaussian import fill_genes, gene_ids
from beyondlinear.runtime.seeds import stream

# the paper's 21 tissues of recount3, commonest first, and what GTEx has besides among its five
# commonest
TISSUES = (
    "Blood",
    "Brain",
    "Breast",
    "Stem Cell",
    "Cervix",
    "Skin",
    "Esophagus",
    "Blood Vessel",
    "Kidney",
    "Umbilical Cord",
    "Lung",
    "Epithelium",
    "Prostate",
    "Liver",
    "Heart",
    "Colon",
    "Bone Marrow",
    "Muscle",
    "Tonsil",
    "Spinal Cord",
    "Testis",
    "Placenta",
)


def stand_in(
    n_samples: Annotated[int, Field(ge=44)] = 1320,
    n_genes: Annotated[int, Field(ge=4)] = 200,
    n_tissues: Annotated[int, Field(ge=2, le=22)] = 22,
    study_sd: Annotated[float, Field(ge=0)] = 0.5,
    seed: int = 0,
) -> ad.AnnData:
    """Samples of `n_tissues` tissues in equal numbers, in studies and donors, male and female.

    x is (n_samples, n_genes) float32: N(0, 1) about a mean of the tissue (standard deviation 1
    between tissues) and of the study (`study_sd`); in the last quarter of the genes, a tissue gives
    its values a random sign in place of a mean, which no linear model can use; the first gene is
    higher by 2 in one sex. obs: tissue, sex, study (12 a tissue), donor (each gives about 3
    samples, of several tissues). Nothing here is real, and no result on it is one.
    """
    random = stream(seed, "dataset", "samples")
    tissue = np.arange(n_samples) % n_tissues
    study = 12 * tissue + random.integers(0, 12, n_samples)
    donor = random.integers(0, max(2, n_samples // 3), n_samples)
    sex = donor % 2
    n_linear = n_genes - n_genes // 4

    def draw(gene: int) -> np.ndarray:
        own = stream(seed, "dataset", "gene", gene)
        means = own.standard_normal(n_tissues)[tissue]
        sign = 1.0 if gene < n_linear else own.choice([-1.0, 1.0], n_samples)
        batch = study_sd * own.standard_normal(12 * n_tissues)[study]
        return sign * means + batch + own.standard_normal(n_samples) + 2.0 * sex * (gene == 0)

    obs = pd.DataFrame(
        {
            "tissue": np.array(TISSUES, dtype=object)[tissue],
            "sex": np.where(sex, "male", "female").astype(object),
            "study": [f"study_{s:03d}" for s in study],
            "donor": [f"donor_{d:04d}" for d in donor],
        },
        index=[f"sample_{i:05d}" for i in range(n_samples)],
    )
    return ad.AnnData(
        fill_genes(n_samples, n_genes, draw),
        obs=obs,
        var=pd.DataFrame(index=gene_ids("gene", n_genes)),
    )
