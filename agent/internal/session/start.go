package session

import (
	"net/http"
	"sync"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// errStart says why a command could not be started.
func errStart(format string, values ...any) error {
	return wire.Refuse(http.StatusUnprocessableEntity, "start_failed", format, values...)
}

// Spec is a command to run. It is not checked again, except by the kernel.
type Spec struct {
	ID          string // 8 lower-case hex digits; empty for a new one
	Kind        string
	Argv        []string
	Directory   string              // empty for the user's default directory
	Env         []map[string]string // layers of the environment; later ones win
	User        string
	Timeout     time.Duration // 0 means none
	BufferBytes int           // of output that is kept; 0 means the default
	Input       bool          // whether it has input
	Terminal    *WindowSize   // nil for pipes
	Alone       time.Duration // how long it may run after its last reader has left; 0 means for ever
	Hold        time.Duration // how long it may be blocked until an expected reader comes
	Background  bool          // it does not keep the sandbox awake
	Unlogged    bool          // whether it is kept out of the logs
	Unlisted    bool          // whether it is not a user's command, such as a transfer of files
}

// Start runs a command as a new session.
func (t *Table) Start(spec *Spec) (*Session, error) {
	user, err := account.Find(spec.User)
	if err != nil {
		return nil, errStart("%v", err)
	}
	command := &command{argv: spec.Argv, user: user, directory: spec.Directory}
	if command.directory == "" {
		command.directory = user.DefaultDirectory()
	}
	layers := append([]map[string]string{terminalEnv(spec)}, spec.Env...)
	command.env = user.Env(append(layers, workingDirectory(command.directory))...)
	// Looking up first gives a precise error. And a file system that hangs blocks
	// only this call, and not every fork.
	if err := command.resolve(); err != nil {
		return nil, err
	}
	created, err := t.reserve(spec)
	if err != nil {
		return nil, err
	}
	pidfd, err := created.launch(command, spec, t.groups)
	if err != nil {
		t.abandon(created)
		return nil, err
	}
	if spec.Timeout > 0 {
		created.limit(spec.Timeout)
	}
	created.watch(pidfd, t.retire)
	return created, nil
}

// launch starts the process in its cgroup, with its pipes or its terminal.
func (s *Session) launch(command *command, spec *Spec, groups *cgroup.Groups) (pidfd int, err error) {
	ends, err := s.openStreams(command.user, spec)
	if err != nil {
		return -1, err
	}
	defer ends.close()
	s.started = time.Now() // nobody else reads it before begin
	group, groupFD, err := groups.Create(s.ID)
	if err == nil {
		s.group = group
		pidfd, err = command.fork(groupFD, ends, s.begin)
		if groupFD >= 0 {
			syscall.Close(groupFD)
		}
		if err != nil {
			err = command.explain(err)
		}
	} else {
		err = errStart("no cgroup for the command: %v", err)
	}
	if err != nil {
		for _, pipe := range s.pipes {
			pipe.file.Close()
		}
		if s.input != nil {
			s.input.abandon()
		}
		return -1, err
	}
	return pidfd, nil
}

// command is what to execute, as which user, where, and with which environment.
type command struct {
	argv       []string
	user       *account.Account
	directory  string
	env        []string
	executable string // found by resolve
}

// forking serialises forks: the OOM score is changed for each, since a child
// inherits it when it is made.
var forking sync.Mutex

func (c *command) fork(groupFD int, ends *commandEnds, begin func(pid int)) (pidfd int, err error) {
	pidfd = -1
	attributes := &syscall.ProcAttr{
		Dir:   c.directory,
		Env:   c.env,
		Files: []uintptr{ends.in.Fd(), ends.out.Fd(), ends.errs.Fd()},
		Sys: &syscall.SysProcAttr{
			Setsid:      true,
			Setctty:     ends.terminal, // its standard input, descriptor 0
			Credential:  &syscall.Credential{Uid: c.user.UID, Gid: c.user.GID, Groups: c.user.Groups},
			UseCgroupFD: groupFD >= 0,
			CgroupFD:    max(groupFD, 0),
			PidFD:       &pidfd,
		},
	}
	forking.Lock()
	defer forking.Unlock()
	restore := plainOOMScore()
	defer restore()
	pid, err := syscall.ForkExec(c.executable, c.argv, attributes)
	if err == nil {
		begin(pid)
	}
	return pidfd, err
}

// explain turns an error of fork or exec into a message.
func (c *command) explain(err error) error {
	switch {
	case linux.IsErrno(err, syscall.ENOENT):
		return errStart("executable not found: the interpreter that %s names does not exist", c.executable)
	case linux.IsErrno(err, syscall.EACCES, syscall.EPERM):
		if !c.user.MayEnter(c.directory) {
			return errStart("permission denied: user %s may not enter the working directory %s", c.user.Name, c.directory)
		}
		return errStart("permission denied: user %s may not execute %s", c.user.Name, c.executable)
	case linux.IsErrno(err, syscall.ENOEXEC):
		return errStart("not executable: %s is neither a program of this machine nor a script with a #! line", c.executable)
	case linux.IsErrno(err, syscall.E2BIG):
		return c.tooLong()
	case linux.IsErrno(err, syscall.EAGAIN):
		return errStart("too many processes: the sandbox has reached its limit of %s", cgroup.MaxProcesses)
	case linux.IsErrno(err, syscall.ENOMEM):
		return errStart("out of memory: the kernel could not start %s", c.executable)
	}
	return errStart("cannot start %s: %v", c.executable, err)
}

// begin makes the session visible: its process exists.
func (s *Session) begin(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = pid
}

// begun reports whether the process exists yet.
func (s *Session) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid != 0
}
