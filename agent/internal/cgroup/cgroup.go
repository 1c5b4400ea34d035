// Package cgroup groups the processes of each command, so that all of them can be
// limited and ended.
package cgroup

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
	// MaxProcesses bounds the processes of all commands together. One command may
	// have a few less, so that a fork bomb can still be stopped.
	MaxProcesses        = "4096"
	maxCommandProcesses = "3840"
)

// Groups gives every command its own cgroup in the agent's subtree.
type Groups struct {
	sessions  string // directory that holds the commands' cgroups; empty without cgroup v2
	pids      bool
	mu        sync.Mutex
	lingering []string // ended commands' cgroups that still had processes
}

// Open prepares the subtree the agent was started in. Without cgroup v2
// commands are only process groups, and the log says so.
func Open() *Groups {
	base, err := ownCgroup()
	if err == nil {
		var groups *Groups
		if groups, err = prepare(base); err == nil {
			return groups
		}
	}
	log.Printf("no cgroup v2 subtree (%v): a timeout kills only the command's process group", err)
	return &Groups{}
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
		relative = "opencomputer" // never change the root group itself
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

// prepare moves the agent into the leaf "agent" in base and makes "sessions"
// beside it for the commands.
func prepare(base string) (*Groups, error) {
	leaf := filepath.Join(base, "agent")
	groups := &Groups{sessions: filepath.Join(base, "sessions")}
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

func (g *Groups) limitProcesses() {
	err := writeControl(g.sessions, "pids.max", MaxProcesses)
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

// Group contains the processes of one command. The zero Group is for a system
// without cgroup v2.
type Group struct {
	directory string // empty without cgroup v2
}

// Create makes the cgroup of the command with that id and opens it, so that the
// command can be forked into it. The caller closes fd, which is -1 without
// cgroups.
func (g *Groups) Create(id string) (group *Group, fd int, err error) {
	if g.sessions == "" {
		return &Group{}, -1, nil
	}
	g.sweep()
	group = &Group{directory: filepath.Join(g.sessions, "exec-"+id)}
	if err := os.Mkdir(group.directory, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, -1, err
	}
	if g.pids {
		if err := writeControl(group.directory, "pids.max", maxCommandProcesses); err != nil {
			g.Release(group)
			return nil, -1, err
		}
	}
	fd, err = syscall.Open(group.directory, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		g.Release(group)
		return nil, -1, err
	}
	return group, fd, nil
}

// Kill ends every process of the command, even those that left its process group.
// pid is the process group, which is used on a system without cgroups.
func (g *Group) Kill(pid int) error {
	if g.directory == "" {
		return syscall.Kill(-pid, syscall.SIGKILL)
	}
	return writeControl(g.directory, "cgroup.kill", "1")
}

// Release removes a command's cgroup, now or when its last process has ended.
func (g *Groups) Release(group *Group) {
	if group.directory == "" || syscall.Rmdir(group.directory) == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lingering = append(g.lingering, group.directory)
}

// sweepStep bounds the cgroups that are checked at the start of one command.
const sweepStep = 8

// sweep removes cgroups whose last process has ended meanwhile.
func (g *Groups) sweep() {
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
