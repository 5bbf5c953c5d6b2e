"""What makes XLA compile for a CPU in less time, into programs several times as slow.

For processes whose programs run a few times only, so that nearly all of their time is compilation.  Such programs round
differently: not for tests of numbers.
"""

QUICK_COMPILATION = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
