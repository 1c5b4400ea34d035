// Package pid1 is the init of a guest without systemd: file systems, network,
// orphans, power, and the agent as its child.
package pid1

import (
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/linux"
)

const (
	restartDelay = time.Second
	stopTimeout  = 5 * time.Second
	signalPower  = syscall.Signal(0x1e) // SIGPWR
)

// powerSignals are what halt, poweroff, reboot and Ctrl-Alt-Del send to PID 1.
var powerSignals = map[os.Signal]int{
	syscall.SIGUSR1: syscall.LINUX_REBOOT_CMD_HALT,
	syscall.SIGUSR2: syscall.LINUX_REBOOT_CMD_POWER_OFF,
	signalPower:     syscall.LINUX_REBOOT_CMD_POWER_OFF,
	syscall.SIGTERM: syscall.LINUX_REBOOT_CMD_RESTART,
	syscall.SIGINT:  syscall.LINUX_REBOOT_CMD_RESTART,
}

// Run does the work of PID 1; it does not return. The agent runs as its child, so
// that each exit status belongs to one process: those of commands to the agent,
// those of orphans to this one. An agent that ends is started again.
func Run() {
	mountKernelFileSystems()
	if err := configureNetwork(); err != nil {
		log.Printf("network: %v", err)
	}
	if err := configureResolver("/etc/resolv.conf"); err != nil {
		log.Printf("resolver: %v", err)
	}
	// Ctrl-Alt-Del becomes a signal instead of a reset without sync.
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		log.Printf("ctrl-alt-del: %v", err)
	}
	events := make(chan os.Signal, 32)
	signal.Notify(events, syscall.SIGCHLD, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT, signalPower)
	go watchPowerButtons(func() { events <- signalPower })

	restart := time.NewTimer(0)
	agentPid := 0
	for {
		select {
		case <-restart.C:
			pid, err := startAgentProcess()
			if err != nil {
				log.Printf("cannot start the agent: %v", err)
				restart.Reset(restartDelay)
			}
			agentPid = pid
		case event := <-events:
			if action, found := powerSignals[event]; found {
				stopMachine(action)
				continue
			}
			if status, died := reapAll(agentPid); died {
				log.Printf("the agent died (%s); starting it again", describeStatus(status))
				agentPid = 0
				restart.Reset(restartDelay)
			}
		}
	}
}

func startAgentProcess() (pid int, err error) {
	return syscall.ForkExec("/proc/self/exe", []string{"agent", "-init", "agent"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + account.BasePath},
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// reapAll takes the status of every child that has exited and reports whether the
// agent was one of them.
func reapAll(agentPid int) (agentStatus syscall.WaitStatus, agentDied bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return agentStatus, agentDied
		}
		if pid == agentPid {
			agentStatus, agentDied = status, true
		}
	}
}

func describeStatus(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return "exit code " + strconv.Itoa(status.ExitStatus())
}

// stopMachine ends all processes, writes the disk out and leaves the kernel.
func stopMachine(action int) {
	log.Print("stopping the machine")
	killAll(syscall.SIGTERM)
	deadline := time.Now().Add(stopTimeout)
	for hasChildren() && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	killAll(syscall.SIGKILL)
	syscall.Sync()
	if err := syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		log.Printf("the root file system stays writable: %v", err)
	}
	if err := syscall.Reboot(action); err != nil {
		log.Printf("the kernel refused to stop: %v", err)
	}
}

func killAll(number syscall.Signal) {
	if err := syscall.Kill(-1, number); err != nil && err != syscall.ESRCH {
		log.Printf("kill all: %v", err)
	}
}

// hasChildren reaps, and reports whether any process is left to wait for.
func hasChildren() bool {
	reapAll(0)
	return linux.HasChildren()
}
