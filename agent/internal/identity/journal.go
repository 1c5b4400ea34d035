package identity

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/linux"
)

const (
	// journalDelay delays the restart of the journal, so that it does not slow
	// down a machine's first commands.
	journalDelay = 2 * time.Second
	journalEnd   = 30 * time.Second

	journalDirectory = "/run/log/journal"
	machineIDFile    = "/etc/machine-id"

	// ticksPerSecond is the unit of times in /proc/PID/stat, on every Linux.
	ticksPerSecond = 100
)

// journalMayRest is set while the journal may not have been started yet.
var journalMayRest atomic.Bool

// renewJournal makes systemd start the journal again where it has the old boot id,
// which it reads once, when it starts. `journalctl -b`, `-f` and `systemctl
// status` look for entries of the current boot. In a machine made from a template
// it does not run yet; the first message starts it.
//
// Nothing is lost: before it ends the journal writes all that it has received, and
// systemd keeps its sockets and the streams of services for the next one.
func renewJournal() {
	journalMayRest.Store(true)
	renewed := linux.Uptime()
	time.AfterFunc(journalDelay, func() {
		pid, started := findJournal()
		if pid == 0 || started > renewed {
			return
		}
		if err := endJournal(pid); err != nil {
			log.Printf("identity: the journal keeps the boot id of before: %v", err)
			return
		}
		if err := gatherJournals(journalDirectory, machineIDFile); err != nil {
			log.Printf("identity: %v", err)
		}
	})
}

// endJournal asks a process to end and waits until it has.
func endJournal(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer process.Release()
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for end := time.Now().Add(journalEnd); process.Signal(syscall.Signal(0)) == nil; {
		if time.Now().After(end) {
			return fmt.Errorf("it has not ended within %s", journalEnd)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// findJournal returns the process of the system's journal and when it was started,
// as time since the start of the kernel; 0 means none.
func findJournal() (pid int, started time.Duration) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0 // the pattern is constant and valid
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		name, rest, found := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		// It must be started by systemd: anybody may give a process this name.
		if !found || !strings.HasSuffix(name, "(systemd-journal") || len(fields) < 20 || fields[1] != "1" {
			continue
		}
		ticks, err := strconv.ParseInt(fields[19], 10, 64)
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && pidErr == nil {
			return pid, time.Duration(ticks) * time.Second / ticksPerSecond
		}
	}
	return 0, 0
}

// gatherJournals moves the journal files of the machines that this one was forked
// from to its own, as archived files. The journal limits only the directory with
// its own machine id: without this, each fork of a fork would keep another
// directory in memory.
func gatherJournals(root, idFile string) error {
	id, err := linux.ReadSmallFile(idFile, 64)
	if err != nil {
		return err
	}
	own := filepath.Join(root, strings.TrimSpace(string(id)))
	if err := os.MkdirAll(own, 0o755); err != nil { // the new journal may not have made it yet
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.journal*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if filepath.Dir(file) == own {
			continue
		}
		if err := os.Rename(file, filepath.Join(own, archivedName(file))); err != nil {
			return err
		}
		// Fails until the last file is moved out.
		_ = os.Remove(filepath.Dir(file))
	}
	return nil
}

// archivedName is the name that the journal gives to a file that it no longer
// writes but has not archived itself: system@TIME-NUMBER.journal~, in hex.
func archivedName(file string) string {
	name := filepath.Base(file)
	if strings.Contains(name, "@") {
		return name // its name has a unique number already
	}
	now := time.Now()
	return fmt.Sprintf("%s@%016x-%016x.journal~", strings.TrimSuffix(name, ".journal"), now.UnixMicro(), now.UnixNano())
}

// JournalSocket is where services open their streams to the journal.
const JournalSocket = "/run/systemd/journal/stdout"

// WakingJournal writes to Out, a stream to the journal that listens on Socket.
// While the journal does not run systemd keeps the streams, but starts it only for
// messages and new streams: Out would fill up, and the writer would wait for ever.
type WakingJournal struct {
	Out    io.Writer
	Socket string
}

// Write starts the journal where that may be necessary, and writes.
func (w WakingJournal) Write(text []byte) (int, error) {
	if journalMayRest.CompareAndSwap(true, false) {
		wakeJournal(w.Socket)
	}
	return w.Out.Write(text)
}

// wakeJournal connects to the journal, so that systemd starts it. It does nothing
// where there is no journal.
func wakeJournal(socket string) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	_ = syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket})
}
