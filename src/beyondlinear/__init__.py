"""Is there signal in an expression data set that a linear model cannot use, and does a neural net profit from it?"""

__version__ = "0.1.0"
