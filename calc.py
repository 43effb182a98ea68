import wavefoundry as wf
for s in (10, 300, 1000):
    try:
        c=wf.Calculator(wf.load("zoo:molecules-small"), samples=s); print(s, c)
    except Exception as e: print(s, type(e).__name__, e)
from ase import Atoms
a=Atoms("LiH",[[0,0,0],[0,0,1.6]])
for s in (10,300,1024):
    try:
        a.calc=wf.Calculator(wf.load("zoo:molecules-small"), samples=s); print(a.get_potential_energy())
    except Exception as e: print(s, type(e).__name__, e)
