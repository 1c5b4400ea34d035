package logs

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"opencomputer.dev/agent/internal/account"
)

const (
	journalReader  = "/usr/bin/journalctl"
	maxJournalLine = 64 << 10

	// The agent's messages, and commands, which belong to its unit, are in its own
	// log.
	ownUnit       = "opencomputer-agent.service"
	ownIdentifier = "agent"
)

// journalEntry has the fields that are used of journalctl's JSON.
type journalEntry struct {
	Time       string          `json:"__REALTIME_TIMESTAMP"`
	Message    json.RawMessage `json:"MESSAGE"`
	Identifier string          `json:"SYSLOG_IDENTIFIER"`
	Unit       string          `json:"_SYSTEMD_UNIT"`
}

// readJournal passes on the last entries of the system's journal and, with follow,
// those that come until the context ends. Without a journal it returns at once.
func readJournal(ctx context.Context, last int, follow bool, visit func(logEntry)) {
	if _, err := os.Stat(journalReader); err != nil {
		return
	}
	// Of all boots: a fork has the entries of its origin, and another boot id.
	arguments := []string{"--output=json", "--no-pager", "--quiet", "--boot=all", "--lines=" + strconv.Itoa(last)}
	if follow {
		arguments = append(arguments, "--follow")
	}
	command := exec.CommandContext(ctx, journalReader, arguments...)
	command.Env = []string{"PATH=" + account.BasePath}
	output, err := command.StdoutPipe()
	if err != nil || command.Start() != nil {
		return
	}
	// It was ended by the context; the error does not matter.
	defer command.Wait()
	lines := bufio.NewReaderSize(output, maxJournalLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			for err == bufio.ErrBufferFull {
				_, err = lines.ReadSlice('\n')
			}
			if err == nil {
				continue
			}
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, output)
			return
		}
		if entry, ok := parseJournal(line); ok {
			visit(entry)
		}
	}
}

func parseJournal(line []byte) (logEntry, bool) {
	var parsed journalEntry
	var message string
	if json.Unmarshal(line, &parsed) != nil || parsed.Unit == ownUnit && parsed.Identifier == ownIdentifier || json.Unmarshal(parsed.Message, &message) != nil {
		return logEntry{}, false // for example messages that are not text
	}
	micros, err := strconv.ParseInt(parsed.Time, 10, 64)
	if err != nil {
		return logEntry{}, false
	}
	if parsed.Identifier != "" {
		message = parsed.Identifier + ": " + message
	}
	return logEntry{time: time.UnixMicro(micros), source: sourceFiles, line: cutLine(message), path: "journal"}, true
}
