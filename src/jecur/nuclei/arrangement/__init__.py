"""How nuclei stand to each other: graphs, directions, clusters, lymphocytes among the others."""
