"""Linear models solved to a certified optimum, and the null model made of them.

`ridge_model` is the model that a run chooses. It brings the train part into the basis of its rows
(`reduction`, `reduced_problem`), where `newton` lowers one of the convex `losses`. `null_model`
draws labels that depend on the expression linearly; `optimality_gap` compares a network trained by
Adam with the certified optimum.
"""
