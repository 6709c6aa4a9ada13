def run(results, scratch, broker):
    pass
