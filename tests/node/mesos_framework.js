// A framework built on the package mesos-framework, unmodified: two tasks that run, one that fails and
// is restarted, a kill, reconciliation, and a stream that is taken up again with the same framework id.
//
// Usage: node mesos_framework.js HOST PORT     (in a directory that has node_modules)
"use strict";

const { Scheduler, Mesos } = require("mesos-framework");
const messages = Mesos.getMesos();
const [host, port] = process.argv.slice(2);

const states = {};
let killed = null;
let reconciled = null;
let framework = null;

function command(line) {
  return new messages.CommandInfo(null, null, true, line, null, null);
}

const resources = { cpus: 0.1, mem: 32, ports: 1, disk: 0 };
const scheduler = new Scheduler({
  masterUrl: host,
  port,
  frameworkName: "node",
  logging: { path: "logs", level: "info" },
  restartStates: ["TASK_FAILED"],
  tasks: {
    sleeper: { priority: 1, instances: 2, commandInfo: command("sleep 1000"), resources },
    failing: { priority: 2, instances: 1, commandInfo: command("exit 3"), resources },
  },
});

function fail(text) {
  console.log("FAILED: " + text, JSON.stringify(states));
  process.exit(1);
}
setTimeout(() => fail("too slow"), 60000);
let ending = false;
scheduler.on("error", (error) => {
  // The stream ends with the framework, at times before the call's own answer is there.
  if (!ending) {
    fail("error: " + (error.message || error));
  }
});
scheduler.on("ready", () => scheduler.subscribe());

scheduler.on("subscribed", (subscribed) => {
  console.log("subscribed", subscribed.frameworkId, subscribed.mesosStreamId);
  if (framework !== null && framework !== subscribed.frameworkId) {
    fail("another framework id");
  }
  framework = subscribed.frameworkId;
});

scheduler.on("update", ({ status }) => {
  const name = status.task_id.value.split(".")[1].split("-")[0];
  states[name] = (states[name] || []).concat(status.state);
  console.log(status.task_id.value, status.state, status.message || "");
  const running = states.sleeper ? states.sleeper.filter((s) => s === "TASK_RUNNING").length : 0;
  const failed = states.failing ? states.failing.filter((s) => s === "TASK_FAILED").length : 0;
  if (killed === null && running === 2 && failed >= 2) {
    const [first] = scheduler.launchedTasks.filter((task) => task.name.startsWith("sleeper"));
    killed = first.taskId;
    scheduler.kill(killed, first.runtimeInfo.agentId);
  } else if (status.task_id.value === killed && status.state === "TASK_KILLED") {
    const [other] = scheduler.launchedTasks.filter((task) => task.name.startsWith("sleeper"));
    reconciled = other.taskId;
    scheduler.reconcile(reconciled, other.runtimeInfo.agentId);
  } else if (status.task_id.value === reconciled && status.reason === "REASON_RECONCILIATION") {
    if (status.state !== "TASK_RUNNING") {
      fail("reconciliation says " + status.state);
    }
    ending = true;
    scheduler.once("sent_teardown", () => {
      console.log("ok");
      process.exit(0);
    });
    scheduler.teardown();
  }
});
