"""What the compiler may do with sums of floating-point numbers."""

# sums may be taken in any order (SIMD lanes), always the same on one machine; NaN and infinity keep
# their meaning
SUMS = {"reassoc", "contract", "nsz"}
