"""The stand-in has the columns of GTEx and recount3, and a seed gives it again."""

import numpy as np

from beyondlinear.data.simulated.stand_in import stand_in


def test_columns_sizes_and_reproducibility():
    adata = stand_in(n_samples=88, n_genes=8, n_tissues=4, seed=1)
    assert adata.shape == (88, 8)
    assert adata.X.dtype == np.float32
    assert adata.obs["tissue"].value_counts().to_dict() == {
        "Blood": 22,
        "Brain": 22,
        "Breast": 22,
        "Stem Cell": 22,
    }
    assert adata.obs.groupby("donor")["sex"].nunique().max() == 1
    assert adata.obs.groupby("study")["tissue"].nunique().max() == 1
    assert np.array_equal(adata.X, stand_in(n_samples=88, n_genes=8, n_tissues=4, seed=1).X)
    assert not np.array_equal(adata.X, stand_in(n_samples=88, n_genes=8, n_tissues=4, seed=2).X)


def test_the_first_gene_tells_the_sexes_apart_by_two():
    adata = stand_in(n_samples=4400, n_genes=4, n_tissues=2, study_sd=0)
    male = (adata.obs["sex"] == "male").to_numpy()
    x = adata.X[:, 0] - adata.to_df()[adata.var_names[0]].groupby(adata.obs["tissue"]).transform(
        "mean"
    )
    assert abs(x[male].mean() - x[~male].mean() - 2) < 0.15
