"""What energies are compared with.

``molecules``: literature values of molecules. Of spin lattices: ``lattices`` finds the value of a system by every
method that is asked for; ``literature`` is a table, ``given`` a file of the user's, ``ed`` and ``dmrg`` are
calculations by QuSpin and TeNPy, which ``apart`` runs in a process of their own.
"""
