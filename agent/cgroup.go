package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const (
	// maxProcesses bounds the processes of all commands together; one command
	// may have a little less, so that a fork bomb leaves room to stop it.
	maxProcesses        = "4096"
	maxCommandProcesses = "3840"
)

// cgroups gives every command a cgroup of its own below the agent's subtree.
type cgroups struct {
	sessions  string // directory that holds the commands' cgroups; empty without cgroup v2
	pids      bool
	mu        sync.Mutex
	lingering []string // ended commands' cgroups that still had processes
}

// openCgroups prepares the subtree the agent was started in. Without cgroup v2
// commands are only process groups, and the log says so.
func openCgroups() *cgroups {
	base, err := ownCgroup()
	if err == nil {
		var groups *cgroups
		if groups, err = prepareCgroups(base); err == nil {
			return groups
		}
	}
	log.Printf("no cgroup v2 subtree (%v): a timeout kills only the command's process group", err)
	return &cgroups{}
}

// ownCgroup returns the directory of the agent's own cgroup v2.
func ownCgroup() (string, error) {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	var relative string
	found := false
	for line := range strings.Lines(string(membership)) {
		if path, unified := strings.CutPrefix(line, "0::"); unified {
			relative, found = strings.TrimSuffix(path, "\n"), true
		}
	}
	if !found {
		return "", errors.New("the agent is in no cgroup v2")
	}
	mount, err := cgroupMount()
	if err != nil {
		return "", err
	}
	if relative == "/" {
		relative = "opencomputer" // never rearrange the root group itself
	}
	return filepath.Join(mount, strings.TrimSuffix(relative, "/agent")), nil
}

func cgroupMount() (string, error) {
	file, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted")
}

// prepareCgroups moves the agent into the leaf "agent" below base and makes
// "sessions" beside it for the commands.
func prepareCgroups(base string) (*cgroups, error) {
	leaf := filepath.Join(base, "agent")
	groups := &cgroups{sessions: filepath.Join(base, "sessions")}
	for _, directory := range []string{leaf, groups.sessions} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeControl(leaf, "cgroup.procs", "0"); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(groups.sessions, "cgroup.kill")); err != nil {
		return nil, fmt.Errorf("the kernel is too old: %w", err)
	}
	available, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	for _, controller := range strings.Fields(string(available)) {
		if controller != "pids" && controller != "memory" {
			continue
		}
		if err := writeControl(base, "cgroup.subtree_control", "+"+controller); err != nil {
			log.Printf("cgroup controller %s stays off: %v", controller, err)
			continue
		}
		if controller == "pids" {
			groups.limitProcesses()
		}
	}
	return groups, nil
}

func (g *cgroups) limitProcesses() {
	err := writeControl(g.sessions, "pids.max", maxProcesses)
	if err == nil {
		err = writeControl(g.sessions, "cgroup.subtree_control", "+pids")
	}
	if err != nil {
		log.Printf("processes are not limited: %v", err)
		return
	}
	g.pids = true
}

func writeControl(directory, name, value string) error {
	file, err := os.OpenFile(filepath.Join(directory, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(value)
	return err
}

// commandGroup holds the processes of one command.
type commandGroup struct {
	directory string // empty without cgroup v2
}

// create makes the cgroup of a command and opens it; fd is -1 without cgroups.
func (g *cgroups) create(id string) (group *commandGroup, fd int, err error) {
	if g.sessions == "" {
		return &commandGroup{}, -1, nil
	}
	g.sweep()
	group = &commandGroup{directory: filepath.Join(g.sessions, "exec-"+id)}
	if err := os.Mkdir(group.directory, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, -1, err
	}
	if g.pids {
		if err := writeControl(group.directory, "pids.max", maxCommandProcesses); err != nil {
			g.release(group)
			return nil, -1, err
		}
	}
	fd, err = syscall.Open(group.directory, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		g.release(group)
		return nil, -1, err
	}
	return group, fd, nil
}

// kill ends every process of the command, whatever it did to hide.
func (c *commandGroup) kill(pid int) error {
	if c.directory == "" {
		return syscall.Kill(-pid, syscall.SIGKILL)
	}
	return writeControl(c.directory, "cgroup.kill", "1")
}

// release removes a command's cgroup, now or when its last process is gone.
func (g *cgroups) release(group *commandGroup) {
	if group.directory == "" || syscall.Rmdir(group.directory) == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lingering = append(g.lingering, group.directory)
}

// sweepStep bounds the cgroups that one command's start looks at.
const sweepStep = 8

// sweep removes cgroups whose last process has gone since.
func (g *cgroups) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range min(sweepStep, len(g.lingering)) {
		directory := g.lingering[0]
		g.lingering = g.lingering[1:]
		if err := syscall.Rmdir(directory); err == syscall.EBUSY {
			g.lingering = append(g.lingering, directory)
		}
	}
}
