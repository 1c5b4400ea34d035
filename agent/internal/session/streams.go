package session

import (
	"os"
	"syscall"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/transcript"
)

// commandEnds are the command's ends of its three streams.
type commandEnds struct {
	in, out, errs *os.File
	terminal      bool
}

// close closes our copies of the command's ends; the command has its own by then.
func (e *commandEnds) close() {
	for _, file := range []*os.File{e.in, e.out, e.errs} {
		if file != nil {
			file.Close() // the ends of a terminal are one file, which is closed already
		}
	}
}

// terminalEnv are the variables of a command with a terminal. The size is not
// among them: programs would use the old one after a resize.
func terminalEnv(spec *Spec) map[string]string {
	if spec.Terminal == nil {
		return nil
	}
	return map[string]string{"TERM": "xterm-256color"}
}

// openStreams makes the streams between the agent and a command: a terminal, or
// pipes, with an input if the command has one.
func (s *Session) openStreams(user *account.Account, spec *Spec) (ends *commandEnds, err error) {
	if spec.Terminal != nil {
		return s.openTerminal(user, *spec.Terminal)
	}
	ends = &commandEnds{}
	defer func() {
		if err != nil {
			ends.close()
			for _, pipe := range s.pipes {
				pipe.file.Close()
			}
		}
	}()
	for _, output := range []struct {
		kind transcript.Stream
		end  **os.File
	}{{transcript.Stdout, &ends.out}, {transcript.Stderr, &ends.errs}} {
		pipe, writer, err := newOutputPipe(output.kind, s.collect)
		if err != nil {
			return nil, errStart("no pipe for the output: %v", err)
		}
		s.pipes = append(s.pipes, pipe)
		*output.end = writer
	}
	if !spec.Input {
		if ends.in, err = os.Open(os.DevNull); err != nil {
			return nil, errStart("no standard input: %v", err)
		}
		return ends, nil
	}
	reader, writer, inode, err := inputPipe()
	if err != nil {
		return nil, errStart("no pipe for the input: %v", err)
	}
	ends.in = reader
	s.input = newInput(writer, false, s.hear)
	s.input.inode = inode
	return ends, nil
}

func (s *Session) openTerminal(user *account.Account, size WindowSize) (*commandEnds, error) {
	master, slave, err := openTerminal(size, user)
	if err != nil {
		return nil, errStart("no terminal: %v", err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, errStart("no terminal: %v", err)
	}
	pipe := &outputPipe{kind: transcript.Stdout, file: master, sink: s.collect, ended: make(chan struct{})}
	if err := raw.Control(func(fd uintptr) { pipe.fd = int(fd) }); err != nil {
		return nil, errStart("no terminal: %v", err)
	}
	s.pipes = []*outputPipe{pipe}
	s.terminal = master
	s.input = newInput(master, true, s.hear)
	return &commandEnds{in: slave, out: slave, errs: slave, terminal: true}, nil
}

// inputPipe makes a pipe; a write that waits does not block a thread.
func inputPipe() (reader, writer *os.File, inode uint64, err error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, 0, os.NewSyscallError("pipe2", err)
	}
	if err := syscall.SetNonblock(ends[1], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, nil, 0, os.NewSyscallError("fcntl", err)
	}
	var status syscall.Stat_t
	if err := syscall.Fstat(ends[0], &status); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, nil, 0, os.NewSyscallError("fstat", err)
	}
	return os.NewFile(uintptr(ends[0]), "input"), os.NewFile(uintptr(ends[1]), "input"), status.Ino, nil
}
