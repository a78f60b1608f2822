"""A framework built on Yelp's package task_processing, unmodified: a task that succeeds, and one that fails and
is tried again.

Usage: task_processing_framework.py MASTER
"""

import logging
import os
import sys

from task_processing.plugins.mesos.retrying_executor import RetryingExecutor
from task_processing.runners.sync import Sync
from task_processing.task_processor import TaskProcessor

logging.basicConfig(level=logging.INFO)
processor = TaskProcessor()
processor.load_plugin(provider_module="task_processing.plugins.mesos")
executor = processor.executor_from_config(
    provider="mesos_task",
    provider_config={
        "mesos_address": sys.argv[1],
        "role": "*",
        "framework_name": "task_processing",
        "initial_decline_delay": 0.5,
    },
)
# It sends ports to be mapped, gpus of value 0, and a list of one network as the network itself.
Task = executor.TASK_CONFIG_INTERFACE
runner = Sync(executor=RetryingExecutor(executor, retries=1))
done = runner.run(Task(name="good", cmd="echo hello", containerizer="MESOS"))
assert done.success, done
failed = runner.run(Task(name="bad", cmd="exit 3", containerizer="MESOS"))
assert not failed.success, failed
assert failed.raw["message"] == "Command exited with status 3", failed
assert failed.raw["task_id"]["value"].endswith("-retry0"), failed
runner.stop()
print("ok", flush=True)
# Its threads do not end.
os._exit(0)
