"""Plan, verdict, gate and deployment as text for people: pull-request Markdown, statuses, terminal lines. All pure."""
