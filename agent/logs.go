package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/wire"
)

const (
	defaultLogLimit = 1000
	maxLogLimit     = 10_000
	maxLogQuery     = 1024
	logPollInterval = time.Second
	logKeepAlive    = 10 * time.Second
)

// logQuery chooses lines of the logs.
type logQuery struct {
	tail         bool
	since, until time.Time
	text         string
	sources      map[string]bool
	limit        int
}

func parseLogQuery(r *http.Request) (logQuery, error) {
	query := logQuery{tail: true, limit: defaultLogLimit}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query, wire.Invalid("bad query: %v", err)
	}
	if text := values.Get("tail"); text != "" {
		if query.tail, err = strconv.ParseBool(text); err != nil {
			return query, wire.Invalid("tail must be true or false")
		}
	}
	for name, into := range map[string]*time.Time{"since": &query.since, "until": &query.until} {
		if text := values.Get(name); text != "" {
			if *into, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return query, wire.Invalid("%s must be a time like 2026-01-31T12:00:00Z", name)
			}
		}
	}
	if query.text = values.Get("q"); len(query.text) > maxLogQuery {
		return query, wire.Invalid("q may have at most %d bytes", maxLogQuery)
	}
	if text := values.Get("limit"); text != "" {
		if query.limit, err = strconv.Atoi(text); err != nil || query.limit < 1 || query.limit > maxLogLimit {
			return query, wire.Invalid("limit must be 1 to %d", maxLogLimit)
		}
	}
	if text := values.Get("source"); text != "" {
		query.sources = make(map[string]bool)
		for name := range strings.SplitSeq(text, ",") {
			if !slices.Contains([]string{sourceFiles, sourceStdout, sourceStderr, sourceAgent}, name) {
				return query, wire.Invalid("source %.32q is none of %s, %s, %s, %s", name, sourceFiles, sourceStdout, sourceStderr, sourceAgent)
			}
			query.sources[name] = true
		}
	}
	return query, nil
}

func (q *logQuery) wants(source string) bool { return q.sources == nil || q.sources[source] }

func (q *logQuery) matches(entry logEntry) bool {
	return q.wants(entry.source) && (q.since.IsZero() || !entry.time.Before(q.since)) &&
		(q.until.IsZero() || !entry.time.After(q.until)) && strings.Contains(entry.line, q.text)
}

// sendLogs answers with the last lines that match, oldest first, and with
// those that come after, as lines of JSON.
func (a *agent) sendLogs(w http.ResponseWriter, r *http.Request, call *gate.Call) error {
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
	entries, next, more := a.logs.since(0)
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
			fresh, next, more = a.logs.since(next)
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

// send writes entries; none is an empty line, which keeps the stream alive.
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
	if s := entry.session; s != nil {
		out = append(out, `,"execId":`...)
		out = wire.AppendString(out, s.id)
		out = append(out, `,"command":`...)
		out = wire.AppendString(out, cutLine(s.argv[0]))
	}
	if entry.exitCode != nil {
		out = append(out, `,"exitCode":`...)
		out = strconv.AppendInt(out, int64(*entry.exitCode), 10)
	}
	return append(out, '}')
}
