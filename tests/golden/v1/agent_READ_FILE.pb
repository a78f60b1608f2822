BiÉdexecutor pid 30658 argv ['/opt/example/scripts/executors/py_executor.py']
registered {'value': 'gold