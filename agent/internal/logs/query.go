package logs

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

const (
	defaultLogLimit = 1000
	maxLogLimit     = 10_000
	maxLogQuery     = 1024
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
			if !slices.Contains([]string{sourceFiles, Stdout, Stderr, sourceAgent}, name) {
				return query, wire.Invalid("source %.32q is none of %s, %s, %s, %s", name, sourceFiles, Stdout, Stderr, sourceAgent)
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
