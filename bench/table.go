//go:build linux

package main

import (
	"fmt"
	"strings"
)

// line is a sample as it is printed while others are still to come.
func (s sample) line(sc *scenario) string {
	name := strings.TrimSpace(s.Peer + " " + s.Variant)
	if s.Errors > 0 && s.Requests == 0 {
		return fmt.Sprintf("  %-10s %-24s failed: %s", sc.name, name, s.Error)
	}
	if sc.memory != nil {
		return fmt.Sprintf("  %-10s %-24s %8.1f KiB", sc.name, name, s.Idle)
	}
	text := fmt.Sprintf("  %-10s %-24s %8.2f µs  %8.0f/s  p99 %.0f µs", sc.name, name, s.CPU, s.Rate, s.P99)
	if s.Errors > 0 {
		text += fmt.Sprintf("  %d ERRORS: %s", s.Errors, s.Error)
	}
	return text
}

// section is the table of one scenario, in Markdown.
func (r *report) section(i int) string {
	s := r.Scenarios[i]
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", s.Name, s.What)
	if s.scenario.memory != nil {
		r.memoryTable(&b, s)
	} else {
		r.table(&b, s)
	}
	for _, row := range s.Rows {
		if row.Failed > 0 {
			fmt.Fprintf(&b, "\n**%s: %d errors in %d of %d rounds**: %s\n", row.name(), row.Errors, row.Failed, r.Rounds, row.Error)
		}
	}
	return b.String() + "\n"
}

func (r row) name() string { return strings.TrimSpace(r.Peer + " " + r.Variant) }

func (r *report) table(b *strings.Builder, s section) {
	b.WriteString("| | CPU µs/request | low–high |" + r.ratioHeads() + " requests/s | p50 µs | p99 µs | p999 µs | syscalls | allocations |\n|---|--:|--:|" + strings.Repeat("--:|", len(r.ours)) + "--:|--:|--:|--:|--:|--:|\n")
	for _, row := range s.Rows {
		fmt.Fprintf(b, "| %s | **%.2f** | %.2f–%.2f |%s", row.name(), row.CPU, row.Low, row.High, r.ratios(s, row))
		fmt.Fprintf(b, " %.0f | %s | %s | %s | %s | %s |\n", row.Rate,
			known("%.0f", row.P50), known("%.0f", row.P99), known("%.0f", row.P999), known("%.2f", row.Syscalls), known("%.1f", row.Allocs))
	}
	r.variants(b, s)
}

// ratioHeads are the heads of the columns of ratios.
func (r *report) ratioHeads() string {
	var b strings.Builder
	for _, ours := range r.ours {
		fmt.Fprintf(&b, " %s ÷ it |", ours)
	}
	return b.String()
}

// ratios are the cells of ours by a row.
func (r *report) ratios(s section, of row) string {
	var b strings.Builder
	for _, ours := range r.ours {
		fmt.Fprintf(&b, " %s |", known("%.2f", s.ratio(s.find(ours, of.Variant), of)))
	}
	return b.String()
}

// variants compares those of the same proxy.
func (r *report) variants(b *strings.Builder, s section) {
	if len(s.scenario.variants) < 2 {
		return
	}
	from, to := s.scenario.variants[0].name, s.scenario.variants[1].name
	for _, name := range r.order {
		if v := s.ratio(s.find(name, to), s.find(name, from)); v > 0 {
			fmt.Fprintf(b, "\n%s, %s ÷ %s: **%.3f**\n", name, to, from, v)
		}
	}
}

func (r *report) memoryTable(b *strings.Builder, s section) {
	b.WriteString("| | KiB per connection |" + r.ratioHeads() + "\n|---|--:|" + strings.Repeat("--:|", len(r.ours)) + "\n")
	for _, row := range s.Rows {
		fmt.Fprintf(b, "| %s | **%s** |%s\n", row.name(), known("%.1f", row.Idle), r.ratios(s, row))
	}
}

// find returns the row of a proxy, or an empty one.
func (s section) find(peer, variant string) row {
	for _, row := range s.Rows {
		if row.Peer == peer && row.Variant == variant {
			return row
		}
	}
	return row{}
}

// known writes a figure that was measured, and – for one that was not.
func known(format string, v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// markdown is the whole report: the ratios first, then every scenario.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark of %s\n\n%s, %d processors, Linux %s, a system call takes %.0f ns; medians of %d rounds of %g s\n\n",
		r.Time.Format("2006-01-02"), r.Machine, r.CPUs, r.Kernel, r.Syscall, r.Rounds, r.Seconds)
	for _, name := range r.order {
		fmt.Fprintf(&b, "- %s: %s\n", name, r.Versions[name])
	}
	r.summary(&b)
	for i := range r.Scenarios {
		b.WriteString(r.section(i))
	}
	return b.String()
}

// summary is CPU per request of all in one table.
func (r *report) summary(b *strings.Builder) {
	b.WriteString("\n| CPU µs per request; idle: KiB per connection |")
	for _, name := range r.order {
		fmt.Fprintf(b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(r.order)) + "\n")
	for _, s := range r.Scenarios {
		if len(s.scenario.variants) > 0 {
			continue
		}
		fmt.Fprintf(b, "| %s |", s.Name)
		for _, name := range r.order {
			row := s.find(name, "")
			fmt.Fprintf(b, " %s%s |", known("%.1f", row.figure(s.scenario)), strings.Repeat(" (errors)", min(row.Failed, 1)))
		}
		b.WriteString("\n")
	}
}
