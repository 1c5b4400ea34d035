package session

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
)

// This file decides what keeps a sandbox awake and what does not.
//
// These are in use:
//   - a command from its start until its main process has ended, printing or not;
//   - a terminal, and a shell that reads its lines from a pipe, while the shell is
//     not at its prompt: it has a job in the foreground, or works itself;
//   - a coding agent from a prompt until it reports the end of its turn.
//
// These are not in use:
//   - a terminal or a shell that waits at its prompt;
//   - everything that a session has left behind: jobs in the background, services;
//   - a session that was started with keepAwake false.

// maxUsersNamed bounds how many sessions an answer names.
const maxUsersNamed = 8

// Use is what keeps a sandbox awake.
type Use struct {
	Sessions []*Session    // the first few that are in use, oldest first
	Count    int           // how many there are
	Known    bool          // whether anything was ever in use
	Since    time.Duration // how long ago the last use ended, where none is under way
}

// Use checks every session that has not ended.
func (t *Table) Use() Use {
	var use Use
	t.mu.Lock()
	var open []*Session
	for _, s := range t.byID {
		// A command that has ended is in use until its end is recorded, so that
		// there is no gap between the two.
		if s.begun() && s.retired.IsZero() {
			open = append(open, s)
		}
	}
	last := t.lastUse
	t.mu.Unlock()
	for _, s := range open {
		if s.background {
			continue
		}
		if s.inUse() {
			use.Sessions = append(use.Sessions, s)
		} else if at := s.lastTraffic(); at.After(last) {
			last = at
		}
	}
	slices.SortFunc(use.Sessions, func(a, b *Session) int { return a.started.Compare(b.started) })
	use.Count = len(use.Sessions)
	use.Sessions = use.Sessions[:min(use.Count, maxUsersNamed)]
	if use.Known = !last.IsZero(); use.Known {
		use.Since = time.Since(last)
	}
	return use
}

// Name is the kind of a session and the beginning of what it runs.
func (s *Session) Name() (kind, command string) {
	command = strings.Join(s.argv, " ")
	if len(command) > 120 {
		command = command[:120]
	}
	return s.kind, strings.ToValidUTF8(command, "")
}

// traffic records that bytes went in or out.
func (s *Session) traffic() { s.lastBytes.Store(int64(time.Since(processStart))) }

// processStart is the base for monotonic times that are stored as numbers.
var processStart = time.Now()

func (s *Session) lastTraffic() time.Time {
	at := processStart.Add(time.Duration(s.lastBytes.Load()))
	if at.Before(s.started) {
		return s.started
	}
	return at
}

// inUse reports whether a session that has not ended is in use.
func (s *Session) inUse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.exited:
		return true // until its end is recorded
	case s.turns != nil:
		return s.turns.underWay()
	case s.terminal != nil:
		return s.foregroundJob() || processWorks(s.pid)
	case s.input != nil && isShell(s.argv):
		return !readsPipe(s.pid, s.input.inode)
	}
	return true
}

const ioctlForegroundGroup = 0x540F // TIOCGPGRP

// foregroundJob reports whether the foreground process group of a terminal differs
// from that of its main process.
func (s *Session) foregroundJob() bool {
	raw, err := s.terminal.SyscallConn()
	if err != nil {
		return false
	}
	var group int32
	var failure error
	if err := raw.Control(func(fd uintptr) {
		failure = linux.Ioctl(fd, ioctlForegroundGroup, unsafe.Pointer(&group))
	}); err != nil || failure != nil {
		return false
	}
	return group > 0 && int(group) != s.pid
}

// systemCall returns the system call in which a process waits: its number and
// first argument, or running when it does not wait.
func systemCall(pid int) (number, first uint64, running, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/syscall")
	if err != nil {
		return 0, 0, false, false
	}
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return 0, 0, false, false
	}
	if string(fields[0]) == "running" {
		return 0, 0, true, true
	}
	number, err = strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil || len(fields) < 2 {
		return 0, 0, false, false
	}
	first, err = strconv.ParseUint(string(fields[1]), 0, 64)
	return number, first, false, err == nil
}

// processWorks reports whether a process computes or waits for a child.
func processWorks(pid int) bool {
	number, _, running, ok := systemCall(pid)
	return ok && (running || number == syscall.SYS_WAIT4 || number == syscall.SYS_WAITID)
}

// readsPipe reports whether a process waits for bytes from the pipe with that
// inode.
func readsPipe(pid int, inode uint64) bool {
	number, fd, running, ok := systemCall(pid)
	if !ok || running || number != syscall.SYS_READ {
		return false
	}
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.FormatUint(fd, 10))
	return err == nil && link == "pipe:["+strconv.FormatUint(inode, 10)+"]"
}

var shells = []string{"ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh"}

// isShell reports whether a command is a shell that reads commands from its
// standard input: its arguments contain neither a script nor a command.
func isShell(argv []string) bool {
	if len(argv) == 0 || !slices.Contains(shells, strings.TrimPrefix(path.Base(argv[0]), "-")) {
		return false
	}
	for i := 1; i < len(argv); i++ {
		switch option := argv[i]; {
		case option == "-" || option == "--":
			return i == len(argv)-1
		case option == "-o" || option == "+o" || option == "-O" || option == "+O" || option == "--rcfile" || option == "--init-file":
			i++ // its value
		case strings.HasPrefix(option, "--") || strings.HasPrefix(option, "+"):
		case !strings.HasPrefix(option, "-"):
			return false // a script
		case strings.Contains(option, "c"):
			return false // a line
		case strings.Contains(option, "s"):
			return true // what follows are arguments
		}
	}
	return true
}

// agentKind is the kind of sessions whose lines show turns.
const agentKind = "agent"

// hear handles input that the session has accepted.
func (s *Session) hear(data []byte) {
	s.traffic()
	if s.turns != nil {
		s.turns.input(data)
	}
}
