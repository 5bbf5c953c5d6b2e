"""What makes XLA compile for a CPU in a third of the time, into programs three times as slow.

For processes whose programs run a few times only, so that nearly all of their time is compilation.  Compiled like this,
on jax 0.10, a step of training at the least size takes 30 s of processor time instead of 110.

    XLA_FLAGS="$(python -m tests.quick_compilation)" python -m pytest
"""

import jax

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if jax.__version_info__ < (0, 11):  # later ones do not know it, and stop at what they do not know
    XLA_FLAGS += " --xla_cpu_use_fusion_emitters=false"
QUICK_COMPILATION = {"XLA_FLAGS": XLA_FLAGS}

if __name__ == "__main__":
    print(XLA_FLAGS)
