"""An executor on pesos: says that its tasks run, sends messages back, kills what it is told to. Python 2.7."""

import site
import sys

site.addsitedir(sys.argv[1])

from mesos.interface import Executor
from pesos.executor import PesosExecutorDriver
from pesos.vendor.mesos import mesos_pb2


class Echo(Executor):
    def update(self, driver, task_id, state):
        status = mesos_pb2.TaskStatus(state=state)
        status.task_id.value = task_id.value
        driver.send_status_update(status)

    def registered(self, driver, executor_info, framework_info, slave_info):
        sys.stdout.write("registered %s\n" % executor_info.executor_id.value)
        sys.stdout.flush()

    def launchTask(self, driver, task):
        self.update(driver, task.task_id, mesos_pb2.TASK_RUNNING)

    def killTask(self, driver, task_id):
        self.update(driver, task_id, mesos_pb2.TASK_KILLED)

    def frameworkMessage(self, driver, data):
        driver.send_framework_message(data[::-1])

    def shutdown(self, driver):
        driver.stop()


driver = PesosExecutorDriver(Echo())
driver.start()
driver.join()
