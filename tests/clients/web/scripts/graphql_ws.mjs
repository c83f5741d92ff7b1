import { plainly } from './plainly.mjs'
import { socket } from './story.mjs'

await plainly(socket())
