"""The compiled engine: fits of linear and of small networks without Lightning, on one thread.

`engine` is the loop of a fit; `linear` and `small_net` make its epochs. What these are made of lies
in a file each: `rows` (which rows are read), `dense_layer`, `batch_norm`, `dropout`, `losses`,
`adam`.
"""
