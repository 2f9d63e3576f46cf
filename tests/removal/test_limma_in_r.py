"""Our removal against R's own limma, where R and limma are installed."""

import shutil
import subprocess

import numpy as np
import pytest

from beyondlinear.removal.limma import remove_batch_effect


@pytest.fixture
def rscript() -> str:
    path = shutil.which("Rscript")
    if (
        path is None
        or subprocess.run(
            [path, "-e", "library(limma)"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs R with Bioconductor's limma")
    return path


def test_equals_limma_on_fresh_numbers(rscript, tmp_path):
    rng = np.random.default_rng()  # new every time: what is equal must be equal for any numbers
    batch = np.array(list("AAAABBBBBCCCCCCDD"))
    x = (
        rng.normal(5, 2, (17, 8))
        + rng.normal(0, 3, (4, 8))[np.unique(batch, return_inverse=True)[1]]
    )
    covariate = rng.normal(size=(17, 1))
    x[2, 3] = np.nan
    np.savetxt(tmp_path / "x.csv", x.T, delimiter=",", fmt="%.17g")
    np.savetxt(tmp_path / "c.csv", covariate, delimiter=",", fmt="%.17g")
    (tmp_path / "b.csv").write_text("\n".join(batch))
    (tmp_path / "run.R").write_text(
        'x <- as.matrix(read.csv("x.csv", header = FALSE, na.strings = "nan")); b <-'
        ' readLines("b.csv", warn = FALSE)\ncv <- unname(as.matrix(read.csv("c.csv", header ='
        " FALSE)))\ny <- limma::removeBatchEffect(unname(x), b, covariates ="
        ' cv)\nwrite.table(format(y, digits = 17, trim = TRUE), "y.csv", sep = ",", quote = FALSE,'
        " row.names = FALSE,\n            col.names = FALSE)\n"
    )
    subprocess.run([rscript, "run.R"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    theirs = np.genfromtxt(
        tmp_path / "y.csv", delimiter=",", missing_values="NA", filling_values=np.nan
    ).T
    ours = remove_batch_effect(x, batch, covariates=covariate)
    assert np.array_equal(np.isnan(ours), np.isnan(x))
    assert np.nanmax(np.abs(ours - theirs)) <= 1e-12 * np.nanmax(np.abs(x))
