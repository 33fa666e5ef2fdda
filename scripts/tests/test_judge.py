# SPDX-License-Identifier: GPL-2.0
"""The judge with synthetic logs, one for each way in which a run can fail."""

import unittest

from vm.judge import Judge

GOOD_CASES = ["ok 1 fixture.one", "ok 2 fixture.two"]


def stamped(lines):
    """As the serial console shows it."""
    return [f"[{number:5}.{number % 1000000:06}] {line}\r\n" for number, line in enumerate(lines, 1)]


def program(inner, verdict="ok 1 selftests: vregcache: device_test", name="device_test"):
    return [f"# selftests: vregcache: {name}", *(f"# {line}" for line in inner), verdict]


def run(body, end=True, taint=12288):
    lines = ["vrc-run: begin kernel=6.1.0 cpus=1 vmx=no svm=yes", "vrc-run: loaded vregcache", "TAP version 13", "1..1", *body]
    if end:
        lines += ["vrc-run: unloaded vregcache", f"vrc-run: taint {taint}", "vrc-run: end"]
    return lines


def judged(lines, expected=("vregcache:device_test",), how=None, **more):
    judge = Judge(expected, **more)
    for line in stamped(lines):
        judge.line(line)
    judge.finish(how)
    return judge


def good(inner=None):
    return program(["TAP version 13", "1..2", *(inner or GOOD_CASES)])


WARNING = [
    "------------[ cut here ]------------",
    "the message",
    "WARNING: CPU: 0 PID: 245 at src/linux/context.c:12 vrc_check+0x5b/0x90 [vregcache]",
    "Modules linked in: vregcache(OE)",
    "Call Trace:",
    " <TASK>",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
]


COMPARED = "vregcache: verification compared {} reads, {} registers and {} last-written values with the VMCS"


class Verification(unittest.TestCase):
    def judged(self, *messages):
        lines = run(good())
        lines[-2:-2] = messages
        return judged(lines, verification=True)

    def test_comparisons_add_up_over_module_loads(self):
        self.assertEqual(self.judged(COMPARED.format(0, 7, 9), COMPARED.format(5, 0, 0)).counts(), (2, 0, 0))

    def test_missing_comparison_is_a_problem(self):
        for messages in ((), (COMPARED.format(0, 7, 9),), (COMPARED.format(7, 0, 9),), (COMPARED.format(7, 9, 0),)):
            judge = self.judged(*messages)
            self.assertEqual(judge.counts(), (2, 1, 0), messages)
            self.assertIn("verification should be on", judge.problems[0].what)

    def test_verification_off(self):
        self.assertEqual(judged(run(good())).counts(), (2, 0, 0))


class Counting(unittest.TestCase):
    def test_good_run(self):
        self.assertEqual(judged(run(good())).counts(), (2, 0, 0))

    def test_name_of_a_skipped_test_comes_from_its_run_line(self):
        judge = judged(run(good(["ok 1 fixture.one", "#  RUN           fixture.two ...", "ok 2 # SKIP no PMU here"])))
        self.assertEqual(judge.counts(), (1, 0, 1))
        self.assertEqual((judge.cases[1].name, judge.cases[1].reason), ("fixture.two", "no PMU here"))

    def test_named_skip(self):
        judge = judged(run(good(["ok 1 fixture.one", "ok 2 fixture.two # SKIP no PMU"])))
        self.assertEqual((judge.cases[1].name, judge.cases[1].reason), ("fixture.two", "no PMU"))

    def test_failed_case(self):
        judge = judged(run(program(
            ["1..2", "ok 1 a", "# x.c:5:b:Expected 1 (1) == 2 (2)", "not ok 2 b"],
            "not ok 1 selftests: vregcache: device_test # exit=1")))
        self.assertEqual(judge.counts(), (1, 1, 0))
        self.assertIn("Expected", judge.cases[1].reason)

    def test_first_message_is_the_reason(self):
        judge = judged(run(program(
            ["1..1", "#  RUN           f.one ...", "# x_test.c:5:one:Expected 1 (1) == 2 (2)", "# x_test.c:9:one:Expected 3",
             "# one: Test failed at step #3", "#          FAIL  f.one", "not ok 1 f.one"],
            "not ok 1 selftests: vregcache: device_test # exit=1")))
        self.assertEqual(judge.cases[0].reason, "x_test.c:5:one:Expected 1 (1) == 2 (2)")
        self.assertEqual(judge.failures(), [("vregcache:device_test f.one", ["x_test.c:5:one:Expected 1 (1) == 2 (2)",
                                                                             "x_test.c:9:one:Expected 3"])])

    def test_messages_of_a_passing_test_are_dropped(self):
        judge = judged(run(program(
            ["1..2", "#  RUN           f.one ...", "# x_test.c:5:one:by the way", "ok 1 f.one", "#  RUN           f.two ...",
             "not ok 2 f.two"], "not ok 1 selftests: vregcache: device_test # exit=1")))
        self.assertEqual([name for name, _ in judge.failures()], ["vregcache:device_test f.two"])
        self.assertNotIn("by the way", judge.failures()[0][1][0])

    def test_problem_is_a_failure_with_its_text(self):
        judge = judged(run(good() + WARNING))
        self.assertEqual([name for name, _ in judge.failures()], ["the machine"])
        self.assertIn("vrc_check", judge.failures()[0][1][0])

    def test_program_without_results_is_a_failure(self):
        self.assertEqual(judged(run(program(["hello"]))).counts(), (0, 1, 0))

    def test_skipped_program(self):
        judge = judged(run(program(["SKIP: no debugfs"], "ok 1 selftests: vregcache: device_test # SKIP")))
        self.assertEqual(judge.counts(), (0, 0, 1))
        self.assertEqual(judge.cases[0].reason, "no debugfs")

    def test_plan_that_skips_all(self):
        judge = judged(run(program(["TAP version 13", "1..0 # SKIP no KVM"], "ok 1 selftests: vregcache: device_test # SKIP")))
        self.assertEqual((judge.counts(), judge.cases[0].reason), ((0, 0, 1), "no KVM"))

    def test_directive_does_not_excuse_a_failure(self):
        self.assertEqual(judged(run(good(["ok 1 a", "not ok 2 b # XFAIL later"]))).counts(), (1, 1, 0))

    def test_caller_id_in_the_time_stamp(self):
        judge = Judge(["vregcache:device_test"])
        for number, line in enumerate(run(good())):
            judge.line(f"[    {number}.000000][  T{number}] {line}")
        judge.finish(None)
        self.assertEqual(judge.counts(), (2, 0, 0))

    def test_case_names_with_dashes_and_hashes(self):
        judge = judged(run(good(["ok 1 - dash - inside", "ok 2 a \\# b"])))
        self.assertEqual([c.name for c in judge.cases], ["dash - inside", "a \\# b"])


class Missing(unittest.TestCase):
    """What should have happened and did not."""

    def failed(self, judge, count, text):
        self.assertEqual(judge.counts()[1], count, [p for p in judge.problems] + judge.cases)
        everything = " ".join([p.what for p in judge.problems] + [c.reason for c in judge.cases])
        self.assertIn(text, everything)

    def test_exit_status_without_failed_case(self):
        self.failed(judged(run(program(["1..1", "ok 1 a"], "not ok 1 selftests: vregcache: device_test # exit=139"))),
                    1, "exit status 139")

    def test_timeout_of_a_program(self):
        self.failed(judged(run(program(["1..1"], "not ok 1 selftests: vregcache: device_test # TIMEOUT 120 seconds"))),
                    2, "timeout 120 seconds")

    def test_fewer_results_than_planned(self):
        self.failed(judged(run(program(["1..3", "ok 1 a"]))), 1, "planned 3 tests, reported 1")

    def test_program_without_result(self):
        self.failed(judged(run([])), 1, "no result")

    def test_second_program_not_run(self):
        judge = judged(run(good()), expected=("vregcache:device_test", "vregcache:other_test"))
        self.failed(judge, 1, "no result")
        self.assertEqual(judge.counts()[0], 2)

    def test_log_without_end(self):
        self.failed(judged(run(good(), end=False)), 1, "before the end of the run")

    def test_power_off_during_a_test(self):
        judge = judged(run(["# selftests: vregcache: device_test", "# ok 1 a"], end=False))
        self.failed(judge, 2, "while vregcache:device_test ran")
        self.assertEqual(judge.counts()[0], 1)

    def test_never_booted(self):
        self.failed(judged(["Linux version 6.1"]), 2, "did not reach its init")

    def test_empty_log(self):
        self.failed(judged([]), 2, "did not reach its init")

    def test_hang(self):
        judge = judged(run(["# selftests: vregcache: device_test"], end=False), how="hang: no output for 200 s")
        self.failed(judge, 2, "hang: no output for 200 s while vregcache:device_test ran")
        self.assertEqual(judge.problems[0].line_number, 5)

    def test_reset(self):
        self.failed(judged(run([], end=False) + run(good())), 1, "was reset")

    def test_module_does_not_load(self):
        self.failed(judged(["vrc-run: begin", "vrc-run: fail vregcache does not load: No such device"] + good() + ["vrc-run: end"]),
                    1, "does not load")

    def test_module_does_not_unload(self):
        self.failed(judged(run(good() + ["vrc-run: fail vregcache does not unload: busy"])), 1, "does not unload")


class Reports(unittest.TestCase):
    """What should not have happened."""

    def reported(self, lines, count=1, **more):
        judge = judged(run(["# selftests: vregcache: device_test", *lines, *good()[1:]]), **more)
        self.assertEqual(len(judge.problems), count, judge.problems)
        self.assertEqual(judge.counts()[0], 2)
        return judge.problems

    def test_warning_names_the_line_and_the_test(self):
        problem, = self.reported(WARNING)
        self.assertEqual((problem.line_number, problem.program), (8, "vregcache:device_test"))
        self.assertIn("context.c:12", problem.text)

    def test_two_warnings_count_twice(self):
        self.reported(WARNING + [line.replace("context.c:12", "entry.c:7") for line in WARNING], 2)

    def test_repeated_warning_is_one_problem(self):
        problem, = self.reported(WARNING + [line.replace("PID: 245", "PID: 7") for line in WARNING])
        self.assertEqual(problem.times, 2)

    def test_run_stops_after_too_many_reports(self):
        judge = Judge([])
        for line in stamped(WARNING * 199):
            judge.line(line)
        self.assertIsNone(judge.stop_reason())
        for line in stamped(WARNING):
            judge.line(line)
        self.assertIn("200 unexpected reports", judge.stop_reason())

    def test_warning_between_tests(self):
        judge = judged(run(WARNING + good()))
        self.assertEqual((len(judge.problems), judge.problems[0].program), (1, ""))

    def test_all_kinds(self):
        kinds = [
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "BUG: sleeping function called from invalid context at mm/x.c:1",
            "BUG: unable to handle page fault for address: ffff",
            "BUG: KASAN: use-after-free in vrc_run",
            "kernel BUG at src/linux/x.c:1!",
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            "invalid opcode: 0000 [#1] PREEMPT SMP",
            "Kernel panic - not syncing: Fatal exception",
            "UBSAN: array-index-out-of-bounds in x.c:1",
            "WARNING: possible circular locking dependency detected",
            "WARNING: possible recursive locking detected",
            "WARNING: inconsistent lock state",
            "WARNING: possible irq lock inversion dependency detected",
            "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
            "WARNING: bad unlock balance detected!",
            "WARNING: bad contention detected!",
            "WARNING: lock held when returning to user space!",
            "WARNING: held lock freed!",
            "WARNING: demo/12 still has locks held!",
            "[ BUG: Invalid wait context ]",
            "BUG: scheduling while atomic: demo/12/0x00000002",
            "BUG: using smp_processor_id() in preemptible [00000000] code: demo/12",
            "BUG: KFENCE: use-after-free read in vrc_run+0x1/0x2",
            "BUG: Bad page state in process demo  pfn:00123",
            "BUG: MAX_LOCKDEP_CHAINS too low!",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
            "WARNING: suspicious RCU usage",
            "WARNING: kernel/locking/lockdep.c:4 at f+0x1",
            "INFO: lockdep is turned off.",
            "INFO: trying to register non-static key.",
            "INFO: task demo:12 blocked for more than 120 seconds.",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [demo:12]",
            "DEBUG_LOCKS_WARN_ON(1)",
            "Call Trace:",
            "unchecked MSR access error: WRMSR to 0x480",
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "refcount_t: underflow; use-after-free.",
            "list_add corruption. prev->next should be next",
            "irq 4: nobody cared (try booting with the \"irqpoll\" option)",
        ]
        for kind in kinds:
            with self.subTest(kind):
                self.assertIn(kind, self.reported([kind])[0].text)

    def test_oops_is_one_report_with_its_trace(self):
        self.reported(["BUG: kernel NULL pointer dereference", "#PF: supervisor write", "Oops: 0002 [#1]", "Call Trace:",
                       "---[ end trace 0000000000000000 ]---"])

    def test_lockdep_report_is_one_report(self):
        self.reported(["======================================================",
                       "WARNING: possible circular locking dependency detected",
                       "------------------------------------------------------",
                       "stack backtrace:", "Call Trace:", " <TASK>"])

    def test_panic_ends_the_run(self):
        judge = judged(run(["# selftests: vregcache: device_test", "Kernel panic - not syncing: planted"], end=False))
        # The panic, the missing end, the test without result.
        self.assertEqual(judge.counts(), (0, 3, 0))

    def test_harmless_lines(self):
        self.reported([
            "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
            "MDS CPU bug present and SMT on, data leak possible.",
            "traps: device_test[99] general protection fault ip:401000 sp:7ffd error:0 in device_test",
            "device_test[99]: segfault at 0 ip 401000",
            "vregcache: loading out-of-tree module taints kernel.",
            "RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks",
        ], 0)

    def test_output_of_a_test_is_not_a_report(self):
        self.assertEqual(judged(run(good(["# expecting BUG: and Oops", *GOOD_CASES]))).counts(), (2, 0, 0))

    def test_taint_without_report(self):
        judge = judged(run(good(), taint=512))
        self.assertIn("tainted", judge.problems[0].what)

    def test_lockdep_off(self):
        judge = judged(run(good() + ["vrc-run: debug_locks 0"]))
        self.assertIn("lockdep", judge.problems[0].what)


class Expected(unittest.TestCase):
    def problems(self, lines):
        return judged(run(["# selftests: vregcache: device_test", *lines, *good()[1:]], taint=512)).problems

    def test_announced(self):
        self.assertEqual(self.problems(["vrc-expect: the message 1", *WARNING]), [])

    def test_allowed_report_is_optional_and_limited(self):
        self.assertEqual(self.problems(["vrc-allow: the message 1", *WARNING]), [])
        self.assertEqual(self.problems(["vrc-allow: something else 1", "vrc-allow: the message 1", *WARNING]), [])
        self.assertIn("unexpected", self.problems(["vrc-allow: the message 1", *WARNING, *WARNING])[0].what)
        self.assertIn("unexpected", self.problems(["vrc-allow: something else 1", *WARNING])[0].what)

    def test_announced_two(self):
        self.assertEqual(self.problems(["vrc-expect: vrc_check\\+ 2", *WARNING, *WARNING]), [])

    def test_one_more_than_announced(self):
        self.assertIn("unexpected", self.problems(["vrc-expect: the message 1", *WARNING, *WARNING])[0].what)

    def test_one_fewer_than_announced(self):
        problem, = self.problems(["vrc-expect: the message 2", *WARNING])
        self.assertIn("announced 2 report(s), but 1 came", problem.what)

    def test_different_from_announced(self):
        self.assertEqual(len(self.problems(["vrc-expect: something else 1", *WARNING])), 2)

    def test_announcement_ends_with_the_test(self):
        judge = judged(run([*program(["1..1", "ok 1 a"]), "vrc-expect: the message 1",
                            *program(["1..1", "ok 1 a"], "ok 2 selftests: vregcache: b_test", "b_test"), *WARNING], taint=512),
                       expected=("vregcache:device_test", "vregcache:b_test"))
        self.assertEqual(len(judge.problems), 2)

    def test_malformed(self):
        self.assertIn("invalid announcement", self.problems(["vrc-expect: (open 1"])[0].what)
        self.assertIn("invalid announcement", self.problems(["vrc-expect: no count"])[0].what)


class Commands(unittest.TestCase):
    def test_status(self):
        lines = ["vrc-run: begin", "vrc-out: hello", "vrc-run: status {}", "vrc-run: end"]
        for status, failed in ((0, 0), (3, 1)):
            seen = []
            judge = Judge([], mode="command", listener=lambda kind, what: seen.append((kind, what)))
            for line in lines:
                judge.line(line.format(status))
            judge.finish(None)
            self.assertEqual(judge.counts()[1], failed)
            self.assertIn(("output", "hello"), seen)


if __name__ == "__main__":
    unittest.main()
