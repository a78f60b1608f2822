"""An executor built on the package pymesos: ends the tasks whose data is `finish`, keeps the others until
they are killed, and answers messages. When its agent has been away, the task "alone" has finished."""

import time
from threading import Thread

import pymesos


class Executor(pymesos.Executor):
    def __init__(self):
        self.tasks = set()

    def reregistered(self, driver, agent_info):
        print("registered again", flush=True)
        if "alone" in self.tasks:
            self.tasks.remove("alone")
            Thread(target=self.update, args=(driver, {"value": "alone"}, "TASK_FINISHED")).start()

    def launchTask(self, driver, task):
        self.tasks.add(task["task_id"]["value"])

        def run():
            self.update(driver, task["task_id"], "TASK_RUNNING")
            if pymesos.decode_data(task.get("data", "")) == b"finish":
                self.update(driver, task["task_id"], "TASK_FINISHED")

        Thread(target=run).start()

    def killTask(self, driver, task_id):
        self.update(driver, task_id, "TASK_KILLED")

    def frameworkMessage(self, driver, message):
        answer = b"pong " + pymesos.decode_data(message)
        driver.sendFrameworkMessage(pymesos.encode_data(answer))

    def update(self, driver, task_id, state):
        driver.sendStatusUpdate({"task_id": task_id, "state": state, "timestamp": time.time()})


driver = pymesos.MesosExecutorDriver(Executor())
driver.run()
