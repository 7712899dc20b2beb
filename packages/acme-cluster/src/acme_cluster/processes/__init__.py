"""Worker processes on this machine, and everything that makes them start quickly.

Others import `fork_server`, `nanny`, `preloading` and `fast_imports.quick_imports`. May import
`lifetime`, `security`, `console` and the modules at the root.
"""
