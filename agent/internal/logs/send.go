package logs

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/wire"
)

const (
	logPollInterval = time.Second
	logKeepAlive    = 10 * time.Second
)

// Send answers with the last lines that match, oldest first, and with those that
// follow, as lines of JSON.
func (b *Buffer) Send(w http.ResponseWriter, r *http.Request, call *gate.Call) error {
	query, err := parseLogQuery(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	quiesced := call.Quiescing()
	go func() {
		select {
		case <-quiesced:
			cancel()
		case <-ctx.Done():
		}
	}()
	call.Leave()

	files := newLogFiles(logDirectory)
	entries, next, more := b.since(0)
	var journal chan logEntry
	if query.wants(sourceFiles) {
		entries = append(entries, files.read()...)
		readJournal(ctx, query.limit, false, func(entry logEntry) { entries = append(entries, entry) })
		if query.tail {
			journal = make(chan logEntry)
			go readJournal(ctx, 0, true, func(entry logEntry) {
				select {
				case journal <- entry:
				case <-ctx.Done():
				}
			})
		}
	}
	entries = slices.DeleteFunc(entries, func(entry logEntry) bool { return !query.matches(entry) })
	slices.SortStableFunc(entries, func(a, b logEntry) int { return a.time.Compare(b.time) })
	entries = entries[max(0, len(entries)-query.limit):]

	w.Header()["Content-Type"] = []string{"application/x-ndjson"}
	out := &logWriter{w: w, response: http.NewResponseController(w), query: &query}
	if out.send(entries) != nil || !query.tail {
		return nil
	}
	poll := time.NewTicker(logPollInterval)
	defer poll.Stop()
	sent := time.Now()
	for {
		var fresh []logEntry
		select {
		case <-ctx.Done():
			return nil
		case <-more:
			fresh, next, more = b.since(next)
		case entry := <-journal:
			fresh = []logEntry{entry}
		case <-poll.C:
			if !query.until.IsZero() && time.Now().After(query.until) {
				return nil
			}
			if query.wants(sourceFiles) {
				fresh = files.read()
			}
		}
		if len(fresh) == 0 && time.Since(sent) < logKeepAlive {
			continue
		}
		sent = time.Now()
		if out.send(slices.DeleteFunc(fresh, func(entry logEntry) bool { return !query.matches(entry) })) != nil {
			return nil
		}
	}
}

// logWriter sends entries as lines of JSON.
type logWriter struct {
	w        http.ResponseWriter
	response *http.ResponseController
	query    *logQuery
	line     []byte
}

// send writes entries; without entries an empty line, which keeps the stream
// alive.
func (l *logWriter) send(entries []logEntry) error {
	if len(entries) == 0 {
		if _, err := l.w.Write([]byte("\n")); err != nil {
			return err
		}
	}
	for i := range entries {
		l.line = append(appendLogEntry(l.line[:0], &entries[i]), '\n')
		if _, err := l.w.Write(l.line); err != nil {
			return err
		}
	}
	return l.response.Flush()
}

func appendLogEntry(out []byte, entry *logEntry) []byte {
	out = append(out, `{"time":"`...)
	out = entry.time.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, `","source":`...)
	out = wire.AppendString(out, entry.source)
	out = append(out, `,"line":`...)
	out = wire.AppendString(out, entry.line)
	if entry.path != "" {
		out = append(out, `,"path":`...)
		out = wire.AppendString(out, entry.path)
	}
	if command := entry.command; command != nil {
		out = append(out, `,"execId":`...)
		out = wire.AppendString(out, command.ID)
		out = append(out, `,"command":`...)
		out = wire.AppendString(out, cutLine(command.Executable))
	}
	if entry.exitCode != nil {
		out = append(out, `,"exitCode":`...)
		out = strconv.AppendInt(out, int64(*entry.exitCode), 10)
	}
	return append(out, '}')
}
