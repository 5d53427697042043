"""What learners' machines have wrong, a module for each kind of trouble: `t2i doctor` asks them.

Nothing is imported here that may be what is broken: the standard library only, and torch inside the
functions that look at it.
"""
