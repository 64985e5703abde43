"""The synsets of the sandbox: WordNet 3.0 ids and words, some edges, a category for each."""

# A line is an id, its parents (or -), and its words. Edges skip levels that WordNet has between.
# Ids from n99000001 on are made up, for terms that none of ImageNet's own synsets has.
TABLE: dict[str, str] = {
    "aire-libre": """
        n08518171 - campsite, campground, camping site, camping ground
        n09217230 - beach
        n09366317 - natural elevation, elevation
        n09302616 n09366317 highland, upland
        n09303008 n09366317 hill
        n09359803 n09366317 mountain, mount
        n09409512 n09366317 ridge
        n09270735 n09409512 dune, sand dune
        n09472597 n09359803 volcano
        n12334293 - gum tree, gum
        n12334891 n12334293 eucalyptus, eucalypt, eucalyptus tree
    """,
    "animal": """
        n00015388 - animal, animate being, beast, brute, creature, fauna
        n01317541 n00015388 domestic animal, domesticated animal
        n01318894 n00015388 pet
        n01887474 n00015388 livestock, stock, farm animal
        n02083346 n00015388 canine, canid
        n02121620 n00015388 cat, true cat
        n02084071 n01317541+n02083346 dog, domestic dog, Canis familiaris
        n02085374 n02084071 toy dog, toy
        n02085620 n02085374 Chihuahua
        n02087122 n02084071 hunting dog
        n02092468 n02087122 terrier
        n02103406 n02084071 working dog
        n02113335 n02084071 poodle, poodle dog
        n02113624 n02113335 toy poodle
        n02121808 n01317541+n02121620 domestic cat, house cat, Felis domesticus, Felis catus
        n02122298 n02121808 kitty, kitty-cat, puss, pussy, pussycat
        n02123045 n02121808 tabby, tabby cat
        n02123394 n02121808 Persian cat
        n02123597 n02121808 Siamese cat, Siamese
    """,
    "arte": """
        n99000001 - painting, picture
        n04558804 n99000001 watercolor, water-color, watercolour, water-colour
        n04157320 - sculpture
        n04306847 n04157320 statue
        n99000002 - handicraft, craft
        n99000003 - drawing
        n04227144 n99000003 sketch, study
    """,
    "belleza": """
        n03113152 - cosmetic
        n03714235 n03113152 makeup, make-up, war paint
        n03676483 n03714235 lipstick, lip rouge
        n03724066 n03714235 mascara
        n04112752 n03714235 rouge, paint, blusher
        n03475823 - hairdressing, hair tonic, hair oil, hair grease
    """,
    "comida": """
        n00021265 - food, nutrient
        n07555863 - food, solid food
        n07556406 n00021265 comfort food
        n07938313 n00021265 soul food
        n07560652 n00021265 fare
        n07560903 n00021265 diet
        n07564971 n07560903 vegetarianism
        n07609840 n07555863 dessert, sweet, afters
        n07863374 n07555863 pasta
        n07873807 n07560652+n07555863 pizza, pizza pie
    """,
    "deporte": """
        n00523513 - sport, athletics
        n00446980 n00523513 archery
        n00463246 n00523513 athletic game
        n00451866 n00523513 blood sport
        n00433458 n00523513 contact sport
        n00451370 n00523513 cycling
        n00433802 n00523513 gymnastics, gymnastic exercise
        n00434075 n00433802 acrobatics, tumbling
        n00825773 n00523513 judo
        n00433661 n00523513 outdoor sport, field sport
        n00449295 n00523513 racing
        n00450335 n00523513 riding, horseback riding, equitation
        n00326094 n00523513 rock climbing
        n00441824 n00523513 water sport, aquatics
        n00445351 n00441824+n00523513 rowing, row
        n00442115 n00441824 swimming, swim
        n00445055 n00441824 surfing, surfboarding, surfriding
        n00448466 n00523513 skating
        n00440747 n00523513 skiing
        n00441073 n00440747 ski jumping
        n00887544 n00523513 team sport
        n00480993 n00887544+n00463246 basketball, basketball game, hoops
        n00468480 n00433458+n00463246 football, football game
        n00478262 n00468480 soccer, association football
        n00445802 n00433458 boxing, pugilism, fisticuffs
        n00439826 n00523513 track and field
    """,
    "familia": """
        n09917593 - child, kid, youngster, minor
        n09828216 - baby
        n10353016 - neonate, newborn, newborn infant, newborn baby
        n10236304 - kin, kinsperson, family
        n10080869 n10236304 father, male parent, begetter
        n10595164 n10236304 sibling, sib
    """,
    "moda": """
        n03051540 - clothing, article of clothing, vesture, wear, wearable, habiliment
        n02728440 n03051540 apparel, wearing apparel, dress, clothes
        n02756098 n03051540 attire, garb, dress
        n02846141 n03051540 black
        n03236735 n03051540 dress, frock
        n03450230 n03236735 gown
        n02781121 n03450230 ball gown
        n03692379 n03051540 loungewear
        n03877472 n03692379 pajama, pyjama, pj's, jammies
        n03237992 n03692379 dressing gown, robe-de-chambre, lounging robe
        n04243142 n03051540 slops
        n04385079 n03051540 tailor-made
        n04600912 n03051540 work-clothing, work-clothes
        n03863262 n04600912+n04385079 overall, boilersuit, boilers suit
    """,
    "musica": """
        n03800933 - musical instrument, instrument
        n03249569 n03800933 drum, membranophone, tympan
        n03467517 n03800933 guitar
        n02676566 n03467517 acoustic guitar
        n03272010 n03467517 electric guitar
        n03928116 n03800933 piano, pianoforte, forte-piano
        n03452741 n03928116 grand piano, grand
        n06892775 - concert
        n10599806 - singer, vocalist, vocalizer, vocaliser
    """,
    "tatuajes": """
        n04395651 - tattoo
    """,
    "viajes": """
        n10718131 - tourist, tourer, holidaymaker
        n02690373 - airliner
        n03604311 n02690373 jumbojet, jumbo jet
        n04080705 - resort hotel, spa
        n02774630 - baggage, luggage
        n02773838 n02774630 bag, traveling bag, travelling bag, grip, suitcase
        n03141327 - cruise ship, cruise liner
    """,
    "vida-sana": """
        n99000004 - yoga
        n99000005 - massage
        n07806221 - salad
        n07806879 n07806221 Caesar salad
    """,
    "videojuegos": """
        n99000006 - video game, computer game
        n99000007 - game console, video game console
        n03602883 - joystick
    """,
    "otra": """
        n03842156 - office furniture
        n04548280 - wall clock
        n02898369 - brickwork
    """,
}
